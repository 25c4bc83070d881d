"""Models that are asked for text; one that is trained or scored at hand is :mod:`paft.engine`."""
