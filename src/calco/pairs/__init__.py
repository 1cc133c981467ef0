"""From pictures on disk to pairs of input and target."""
