"""Examples for models that have none of their own: matching on the encoder's features."""
