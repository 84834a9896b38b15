"""Benchmarks: each asks one question and prints figures of ways that took turns in one run
(`timing.py`).
"""
