"""The Python values that residuals, conditions and networks read, and whether they have changed."""
