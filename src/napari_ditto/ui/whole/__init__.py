"""Runs over whole images, in the background: set up, watched, paused, resumed."""
