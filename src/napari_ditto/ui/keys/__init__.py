"""Keys: which ones do what, where they are bound, and the sheet that shows them."""
