"""Pages that hold everything they show, in the house's style."""
