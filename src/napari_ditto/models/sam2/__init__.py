"""SAM 2 and 2.1 on single images through Hugging Face transformers."""
