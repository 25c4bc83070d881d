"""The grid of test prompts and test examples, and the figures made of it."""
