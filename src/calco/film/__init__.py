"""Moving pictures: films as streams, cameras, and what keeps a film steady."""
