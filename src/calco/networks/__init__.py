"""The networks: plain modules that can be used alone."""
