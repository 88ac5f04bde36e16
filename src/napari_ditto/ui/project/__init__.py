"""Sessions and image series."""
