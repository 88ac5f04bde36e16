"""Model families behind one protocol; the only layer that imports torch."""
