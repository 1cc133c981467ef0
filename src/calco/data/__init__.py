"""From images on disk to pairs of input and target."""
