"""What a set of images with boxes is like, before a detector learns from it."""
