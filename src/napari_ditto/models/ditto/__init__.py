"""`ditto`: the bundled network, for prompts and for examples."""
