"""Many objects at once: each point, area or stroke is an object of its own."""
