"""How an output becomes an answer and a score."""
