"""How the bundled network is trained: data bank, synthetic worlds and the training itself."""
