"""Looking at a model's loss terms."""
