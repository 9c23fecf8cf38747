"""Numerical reference solutions of the problems that have no exact solution in closed form."""
