"""What a set of pictures with boxes is like, before a detector learns from it."""
