"""Pure values and functions: numpy only, no I/O, no threads, no torch."""
