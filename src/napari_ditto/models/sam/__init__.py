"""SAM and SAM-HQ through Hugging Face transformers."""
