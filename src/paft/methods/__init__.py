"""The methods of a run, one file or folder each, and their registry."""
