"""Accepted objects as things to work on: pick, refine, merge, split, delete, renumber, review."""
