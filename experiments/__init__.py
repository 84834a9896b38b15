"""Studies and measurements, one readable file each, run with `python -m
valueagents.experiments.NAME`.
"""
