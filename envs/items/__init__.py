"""Item envs: one decision an episode, read from a file."""
