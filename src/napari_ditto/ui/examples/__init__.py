"""The parts behind the dock "Ditto examples": collect, more like this, follow, review, tune."""
