"""A strategy of your own: a class with one method, and a name that `compile` takes.

The harmonic oscillator, whose residual is small for the wrong solution u = 0, too. It says what
`update` is given; whether the weights that it sets are finite and not negative is checked.
"""

import deepxde_balance as ddb

ITERATIONS = 5000


class LevelNorms(ddb.FromGradients):
    """Weights that bring each condition's gradient to the residual's length, from 1 to 100."""

    def update(self, losses, gradients):
        norms = gradients.norm(2)  # one for each group, the residual first
        self.weights = (norms[0] / norms).clamp(1, 100)


ddb.register("level-norms", LevelNorms)

problem = ddb.problems.get("harmonic", iterations=ITERATIONS)
for strategy in ("equal", "level-norms:update_every=10"):
    model = problem.model(strategy)  # in a script: model.compile(..., loss_weights=strategy)
    problem.train(model, verbose=0)
    print(f"{strategy}: L2RE {problem.errors(model)['L2RE']:.4f}, weights {model.weights}")
