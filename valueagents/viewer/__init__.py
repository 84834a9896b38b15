"""A folder of runs as pages: served on loopback, or written as files. Text of runs is inert in
them.
"""
