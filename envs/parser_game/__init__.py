"""What `valueagents/Jericho-v0` is made of: a Z-machine kept on a short leash, and what can be read
from its memory.
"""
