"""Reference solutions of the problems without a closed form, by solvers of our own."""
