"""ZOPO (arXiv 2403.02993)."""
