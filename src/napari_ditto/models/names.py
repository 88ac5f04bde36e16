"""The models that are always here, by name; costs nothing to import."""

DEFAULT_MODEL = "ditto"
"""What answers where no model is named."""

FALLBACK_MODEL = "classic"
"""What always runs: no weights, no torch; in the dock one key press away."""
