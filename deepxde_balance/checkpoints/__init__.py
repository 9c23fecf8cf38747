"""Checkpoints: the complete state of a run in a file."""
