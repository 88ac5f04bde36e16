"""The mask decoder that SAM, SAM-HQ and SAM 2 share, folded so that one click costs little.

Same weights and results as the library's modules: a few tokens never need an image that is
projected for them, and what belongs to an image alone is computed once per image.
"""
