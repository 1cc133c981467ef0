"""The sliding window: how objects were found before networks proposed boxes, and still the way to see what a box is."""
