"""From losses, gradients and weights to a step of the optimizer, and the state of a run."""
