"""Value surveys: statements rated on a scale."""
