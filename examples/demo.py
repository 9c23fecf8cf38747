"""Trains one problem with several strategies from the same initial network, and compares them.

    python examples/demo.py
    python examples/demo.py --problem helmholtz --weights gw-mean db-mean --iterations 3000

Prints a table, and writes a figure and the numbers behind it to the folder `out`.
"""

import argparse
import json
import os
import time
from pathlib import Path

os.environ.setdefault("DDE_BACKEND", "pytorch")

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

import deepxde_balance as ddb

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]  # colour-blind safe


def main():
    args = parse_arguments()
    problem = args.problem
    runs = [train(problem, weights, args.seed) for weights in args.weights]
    print(table(runs))
    args.out.mkdir(parents=True, exist_ok=True)
    stem = args.out / f"{problem.name}-{'-'.join(args.weights)}"
    figure(problem, runs).savefig(f"{stem}.png", dpi=110)
    record = [{key: run[key] for key in run if key != "prediction"} for run in runs]
    Path(f"{stem}.json").write_text(json.dumps(record, indent=1))
    print(f"\nFigure: {stem}.png\nNumbers: {stem}.json")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", default="klein-gordon", choices=ddb.problems.names())
    parser.add_argument("--weights", nargs="+", default=["equal", "db-kurtosis"])
    parser.add_argument("--iterations", type=int, default=1300)
    parser.add_argument("--points", type=float, default=1.0, help="factor on the paper's points")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("out"))
    args = parser.parse_args()
    try:
        args.problem = ddb.problems.get(args.problem, args.points, args.iterations)
        args.weights = [ddb.weightings.canonical(name) for name in args.weights]
    except ValueError as error:
        parser.error(str(error))
    return args


def train(problem, weights, seed):
    """One run; the seed fixes the points and the initial network."""
    model = problem.model(weights, seed=seed, verbose=0)
    progress = ddb.Progress(problem.iterations, description=f"{problem.name}, {weights}")
    start = time.perf_counter()
    history, _ = model.train(
        iterations=problem.iterations,
        display_every=max(problem.iterations // 20, 1),
        callbacks=[progress],
        verbose=0,
    )
    seconds = (time.perf_counter() - start) / problem.iterations
    return {
        "weights": weights,
        "errors": problem.errors(model),
        "final_weights": model.weights,
        "seconds_per_iteration": seconds,
        "steps": history.steps,
        "terms": model.loss_terms,
        "losses": np.array(history.loss_train).tolist(),
        "loss_weights": history.loss_weights,
        "prediction": problem.outputs(model, problem.evaluation_points),
    }


def table(runs):
    lines = [
        "| strategy | L2RE | MAE | final weights | s/iteration |",
        "|---|---|---|---|---|",
    ]
    for run in runs:
        weights = ", ".join(f"{name} {value:.3g}" for name, value in run["final_weights"].items())
        errors = f"{run['errors']['L2RE']:.2%} | {run['errors']['MAE']:.2%}"
        lines.append(
            f"| {run['weights']} | {errors} | {weights} | {run['seconds_per_iteration']:.3f} |"
        )
    return "\n".join(lines)


def figure(problem, runs):
    """One row a run: losses, weights, prediction, absolute error."""
    fig, axes = plt.subplots(
        len(runs), 4, figsize=(17, 3.6 * len(runs)), squeeze=False, layout="constrained"
    )
    exact = problem.solution(problem.evaluation_points)
    n = int(np.sqrt(len(exact)))
    worst = max(np.abs(run["prediction"] - exact).max() for run in runs)
    (x0, y0), (x1, y1) = problem.domain
    for row, run in zip(axes, runs, strict=True):
        losses = np.array(run["losses"])
        for i, (name, loss) in enumerate(zip(run["terms"], losses.T, strict=True)):
            row[0].semilogy(run["steps"], loss, color=COLOURS[i % 6], label=name)
        for i, name in enumerate(run["final_weights"]):
            values = [weights[name] for weights in run["loss_weights"]]
            row[1].semilogy(run["steps"], values, color=COLOURS[i % 6], label=name)
        row[0].set_title(f"{run['weights']}: unweighted losses")
        row[1].set_title("weights")
        for ax in row[:2]:
            ax.set_xlabel("iteration")
            ax.legend(fontsize=8)
        values = run["prediction"]
        maps = [
            (values, "prediction", dict(cmap="viridis", vmin=exact.min(), vmax=exact.max())),
            (np.abs(values - exact), "absolute error", dict(cmap="magma", vmin=0, vmax=worst)),
        ]
        for ax, (field, title, style) in zip(row[2:], maps, strict=True):
            image = ax.imshow(
                field.reshape(n, n).T,
                origin="lower",
                extent=(x0, x1, y0, y1),
                aspect="auto",
                **style,
            )
            ax.set_title(f"{title} (L2RE {run['errors']['L2RE']:.2%})")
            fig.colorbar(image, ax=ax)
    return fig


if __name__ == "__main__":
    main()
