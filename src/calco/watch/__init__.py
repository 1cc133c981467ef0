"""A video or a camera that is watched: found, painted, followed, judged by rules, reported."""
