"""SAM 2 and 2.1, on images and from frame to frame, through Hugging Face transformers."""
