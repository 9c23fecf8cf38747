"""Compares a search for the best static weights with a strategy that needs no search.

scikit-optimize, which DeepXDE requires too, searches the weights of the boundary and the initial
conditions in CALLS short trainings. db-mean trains once, for as many iterations as all of these
together.
"""

import numpy as np
from skopt import gp_minimize
from skopt.space import Real

import deepxde_balance as ddb

CALLS = 12
ITERATIONS = 500  # in each short training
POINTS = 0.02  # factor on the paper's numbers of points

LOG_WEIGHTS = [Real(-1.0, 3.0, name="bc"), Real(-1.0, 3.0, name="ic")]  # log10 of the weights


def train(weights, iterations):
    """The relative L2 error after training with these weights."""
    problem = ddb.problems.get("klein-gordon", points=POINTS, iterations=iterations)
    model = problem.model(weights, seed=0, verbose=0)
    model.train(iterations=iterations, display_every=iterations, verbose=0)
    return problem.errors(model)["L2RE"], model.weights


def objective(logs):
    bc, ic = np.power(10.0, logs)
    # One weight for each loss term: residual, u at x = 0 and x = 1, u and u_t at t = 0.
    error, _ = train([1.0, bc, bc, ic, ic], ITERATIONS)
    print(f"bc {bc:8.3g}  ic {ic:8.3g}  L2RE {error:.2%}", flush=True)
    return error if error < 1e3 else 1e3  # the error is nan if training diverged


found = gp_minimize(
    objective, LOG_WEIGHTS, n_calls=CALLS, n_initial_points=min(CALLS, 6), random_state=0
)
bc, ic = np.power(10.0, found.x)
total = CALLS * ITERATIONS
longer, _ = train([1.0, bc, bc, ic, ic], total)
adaptive, weights = train("db-mean", total)

print(f"\nBest of {CALLS} static weights: bc {bc:.3g}, ic {ic:.3g}")
print(f"  after its {ITERATIONS} iterations ({total} in all): L2RE {found.fun:.2%}")
print(f"  trained once more, for {total} iterations ({2 * total} in all): L2RE {longer:.2%}")
print(f"db-mean, {total} iterations in all: L2RE {adaptive:.2%}")
print("  with", ", ".join(f"{name} {weight:.3g}" for name, weight in weights.items()))
