"""A run in files of other tools: tables, a log of Inspect. They are read back in `running/`
(`opened.py`).
"""
