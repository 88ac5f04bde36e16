"""What every implementation of a protocol must do, as base classes of tests."""
