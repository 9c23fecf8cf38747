"""From loss terms to their losses and gradients, per group."""
