"""Finding objects in images and video: boxes, detectors, their scores, and the watch."""
