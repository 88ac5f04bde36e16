"""Whole images of any size: planned, done tile by tile by any executor, joined over the seams."""
