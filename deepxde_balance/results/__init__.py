"""The files of a run, and the published values."""
