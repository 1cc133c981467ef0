"""Films and cameras: moving pictures in, translated, out."""
