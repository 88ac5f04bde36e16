"""Labels written for other programs, in the background."""
