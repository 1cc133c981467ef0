"""What would spoil training, told before it."""
