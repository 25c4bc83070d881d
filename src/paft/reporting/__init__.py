"""From a run directory to tables and figures. Only files are read."""
