"""Fine-tune language models to answer the task and not the wording of the prompt; measure how far they do."""

__version__ = "0.2.0"
