"""`calco detect train`: from pictures with boxes to a run with a detector in it."""
