"""Labels and prompts from the files of other programs; nothing that is read is trusted."""
