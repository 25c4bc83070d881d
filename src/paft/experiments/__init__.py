"""The paper's tables and figures: each is a set of runs, and a view on what they left behind."""
