"""Tables, figures and pages of a run directory. This package only reads the files of runs."""
