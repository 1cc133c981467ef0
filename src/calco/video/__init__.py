"""Moving images: videos as streams, cameras, and what keeps a video steady."""
