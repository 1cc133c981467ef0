"""Boxes and masks of things in pictures, and the formats that people keep them in."""
