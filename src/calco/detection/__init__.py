"""Finding things in pictures and film: boxes, detectors, their scores, and the watch."""
