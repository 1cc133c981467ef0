"""Boxes and masks of objects in images, and the formats that people keep them in."""
