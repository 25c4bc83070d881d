"""Models that can be asked: in this process, or behind an endpoint."""
