"""From loss terms to losses and the gradients of groups."""
