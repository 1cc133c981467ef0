"""The version of Calco."""

__version__ = "0.1.0"
