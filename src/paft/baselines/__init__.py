"""Choosing one prompt: the systems that the paper compares with. None sees a test prompt or a test example."""
