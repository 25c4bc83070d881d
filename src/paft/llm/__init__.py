"""Models that are asked. So far the deterministic fake one; a model at hand is :mod:`paft.engine`."""
