"""From losses, gradients and weights to a step of the optimizer."""
