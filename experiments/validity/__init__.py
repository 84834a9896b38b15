"""Are the instruments right? Calibration, agreement of annotators, personas."""
