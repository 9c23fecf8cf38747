"""Loss terms, and the groups that share a weight."""
