"""Models that leave the house: one file for other programs, with all that stands before and behind the network."""
