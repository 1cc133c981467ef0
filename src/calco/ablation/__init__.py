"""`calco ablate`: variants of a training on the same data, with the same seeds and equal time, side by side."""
