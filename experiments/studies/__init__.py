"""Studies: one command from training to report."""
