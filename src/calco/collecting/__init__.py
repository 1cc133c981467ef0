"""Images from a list of annotations: fetched, checked, and cut into what the boxes name."""
