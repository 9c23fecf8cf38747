"""DeepXDE callbacks."""
