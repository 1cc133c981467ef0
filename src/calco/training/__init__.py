"""From pairs to a run with a trained model in it."""
