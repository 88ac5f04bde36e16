"""What is on show of a large image: encoded ahead, and drawn where it is ready."""
