"""The course: lessons as notebooks that run from start to end, in Spanish and in English."""
