"""The config: its tree, and reading it."""
