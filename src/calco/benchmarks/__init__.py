"""What Calco is measured against, and how: the rows of `calco bench`."""
