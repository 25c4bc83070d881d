"""Reinforcement learning with dynamic prompts: groups of answers to one rendered prompt."""
