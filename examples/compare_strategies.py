"""Compares several strategies on one benchmark problem, from the same initial network.

The command line does the same: ``deepxde-balance compare klein-gordon --weights ...``.
"""

import matplotlib.pyplot as plt

import deepxde_balance as ddb
from deepxde_balance import plots

ITERATIONS = 2000
POINTS = 0.1  # factor on the paper's numbers of points

STRATEGIES = ["equal", "auto", "gw-mean", "dn", "db-kurtosis"]

problem = ddb.problems.get("klein-gordon", points=POINTS, iterations=ITERATIONS)
figure, axes = plt.subplots(
    2, len(STRATEGIES), figsize=(3.6 * len(STRATEGIES), 6), sharey="row", layout="constrained"
)
print("| strategy | L2RE | MAE | weights |\n|---|---|---|---|")
for strategy, column in zip(STRATEGIES, axes.T, strict=True):
    model = problem.model(strategy, seed=0, verbose=0)
    monitor = ddb.GradientMonitor(period=max(ITERATIONS // 100, 1))
    model.train(iterations=problem.iterations, verbose=0, callbacks=[monitor])
    errors = problem.errors(model)
    weights = ", ".join(f"{name} {weight:.3g}" for name, weight in model.weights.items())
    print(f"| {strategy} | {errors['L2RE']:.2%} | {errors['MAE']:.2%} | {weights} |", flush=True)
    plots.plot_losses(monitor, ax=column[0]).set_title(f"{strategy}: L2RE {errors['L2RE']:.2%}")
    plots.plot_gradient_norms(monitor, ax=column[1])

figure.savefig("compare_strategies.png")
print("Figure: compare_strategies.png")
