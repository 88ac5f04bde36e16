"""SAM 3: things found by their name."""
