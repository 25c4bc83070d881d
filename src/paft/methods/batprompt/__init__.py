"""BATprompt (arXiv 2412.18196)."""
