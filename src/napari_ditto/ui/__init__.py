"""napari, Qt and magicgui live here only."""
