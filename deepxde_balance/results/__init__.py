"""The record of a run, and the results that the papers published."""
