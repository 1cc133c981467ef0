"""Films: how steady they are, and what makes them so."""
