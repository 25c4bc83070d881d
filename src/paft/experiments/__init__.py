"""The paper's tables and figures: each is made from the results of a set of runs."""
