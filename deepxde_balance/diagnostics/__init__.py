"""Observation of a model's losses, gradients and weights."""
