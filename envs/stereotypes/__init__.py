"""`valueagents/Stereotype-v0`: questions and sentence pairs about groups of people."""
