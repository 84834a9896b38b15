"""Many policies at once: their profiles, the circle of values, agreement of methods."""
