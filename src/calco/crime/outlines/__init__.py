"""Outlines of Peru's departments; SOURCES.txt tells where they come from."""
