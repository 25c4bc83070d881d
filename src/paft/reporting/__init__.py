"""Tables, figures and pages of a run directory. This package only reads files; it never computes a result."""
