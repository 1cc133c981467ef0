"""How good a translator is: scores beside baselines, intervals, and the report that shows them."""
