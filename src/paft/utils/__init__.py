"""Files, the terminal, and processes: what every other package uses."""
