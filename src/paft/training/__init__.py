"""Stage 2: LoRA fine-tuning with a prompt schedule, by transformers.Trainer."""
