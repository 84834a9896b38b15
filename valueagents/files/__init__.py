"""Files that people write and bring along: read once, checked as a whole, refused with their
line.
"""
