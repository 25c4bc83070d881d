"""The grid of test prompts and test examples, and the metrics computed from it."""
