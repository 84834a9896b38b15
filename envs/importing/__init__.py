"""`valueagents import`: tables of the user's as banks in our formats, by a map of their columns."""
