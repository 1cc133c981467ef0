"""How good a detector is: scores beside baselines, errors in people per hour, and the report."""
