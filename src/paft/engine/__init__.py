"""From conversations to tokens and back: chat format, packing with shared prefixes, scoring, generation."""
