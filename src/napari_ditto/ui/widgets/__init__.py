"""Passive Qt views: they show state and emit what the user did."""
