"""Films: read, translated and written as one stream."""
