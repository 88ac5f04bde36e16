"""What a click would give, shown before it is made."""
