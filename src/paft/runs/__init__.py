"""A run directory, its cells, and the work on them."""
