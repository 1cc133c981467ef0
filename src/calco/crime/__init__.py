"""Crime in Peru: from two dirty sources to tables whose every row can be traced."""
