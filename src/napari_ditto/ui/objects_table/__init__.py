"""What is known of each object: the table of them, and their classes."""
