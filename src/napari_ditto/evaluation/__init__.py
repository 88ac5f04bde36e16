"""How good a model is on labelled images: simulated prompts, examples, everything, tables."""
