"""The loss terms of a problem, and the groups of terms that share a weight."""
