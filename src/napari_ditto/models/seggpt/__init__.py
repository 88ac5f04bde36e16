"""SegGPT, segmentation by example alone, through Hugging Face transformers."""
