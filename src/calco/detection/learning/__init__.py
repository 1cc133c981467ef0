"""`calco detect train`: from images with boxes to a run with a detector in it."""
