"""Stage 1: prompts as templates, from files or from the bank, screened and split."""
