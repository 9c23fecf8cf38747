"""Synthetic files of runs, as training leaves them."""

from typing import Any

import numpy as np

from deepxde_balance.results.record import write_json

PAPER: dict[str, dict[str, Any]] = {
    "klein-gordon": {
        "width": 50,
        "depth": 3,
        "num_points": {"residual": 10000, "boundary": 1000, "initial": 1000},
        "iterations": 20000,
        "update_every": 100,
        "gw_alpha": 0.5,
        "decay_every": 10000,
        "decay_rate": 0.1,
        "lr": 0.001,
    },
    "burgers-inverse": {
        "width": 20,
        "depth": 8,
        "num_points": {"residual": 10000, "boundary": 100, "initial": 100, "data": 300},
        "iterations": 5000,
        "update_every": 10,
        "gw_alpha": 0.1,
        "decay_every": None,
        "decay_rate": 1.0,
        "lr": 0.001,
    },
    "harmonic": {
        "width": 20,
        "depth": 2,
        "num_points": {"residual": 200},
        "iterations": 2000,
        "update_every": 100,
        "gw_alpha": 0.1,
        "decay_every": None,
        "decay_rate": 1.0,
        "lr": 0.001,
    },
}
GROUPS = {
    "klein-gordon": {"pde": ["pde0"], "bc": ["bc0", "bc1"], "ic": ["ic2", "ic3"]},
    "burgers-inverse": {"pde": ["pde0"], "bc": ["bc0", "bc1"], "ic": ["ic2"], "data": ["data3"]},
    "harmonic": {"pde": ["pde0"], "ic": ["ic0", "ic1"]},
}


def content(
    problem="klein-gordon",
    weights="db-kurtosis",
    seed=0,
    l2re=0.01,
    points=1.0,
    iterations=None,
    diverged_at=None,
    **changes,
):
    """The JSON of a run whose errors fall to `l2re`, its MAE being a third of that.

    From the step `diverged_at` on, nothing is finite.
    """
    paper = PAPER[problem]
    scaled = {k: max(round(n * points), 2) for k, n in paper["num_points"].items()}
    iterations = iterations or paper["iterations"]
    settings = {**paper, "num_points": scaled, "iterations": iterations}
    steps = np.linspace(0, iterations, 41).astype(int)
    rng = np.random.default_rng([seed, len(weights), ord(weights[-1])])

    def falling(start, end, noise=0.15):
        values = start * (end / start) ** (steps / iterations)
        values[1:-1] *= np.exp(noise * rng.standard_normal(len(steps) - 2))
        if diverged_at is not None:
            values[steps >= diverged_at] = np.nan
        return values

    groups = GROUPS[problem]
    terms = [term for members in groups.values() for term in members]
    losses = {term: falling(10.0 / (i + 1), 1e-3 * l2re * (i + 1)) for i, term in enumerate(terms)}
    weighed = {g: falling(1.0, 1.0 if i == 0 else 300.0 * i) for i, g in enumerate(groups)}
    weighed["pde"] = np.ones(len(steps))
    if weights == "equal":
        weighed = {g: np.ones(len(steps)) for g in groups}
    errors = {"L2RE": falling(1.0, l2re), "MAE": falling(0.4, l2re / 3)}
    coefficients, true = {}, {}
    if problem == "burgers-inverse":
        true = {"C1": 1.0, "C2": 0.01 / np.pi}
        coefficients = {"C1": 1 + falling(1.0, l2re), "C2": true["C2"] + falling(0.2, l2re / 100)}
    final = {name: values[-1] for name, values in {**errors, **coefficients}.items()}
    return {
        "format": 1,
        "problem": problem,
        "weights": weights,
        "seed": seed,
        "settings": settings,
        "paper": paper,
        "versions": {
            "deepxde_balance": "0.1.0",
            "deepxde": "1.15.0",
            "torch": "2.13.0",
            "numpy": "2.4.6",
            "python": "3.11.9",
        },
        "device": "cpu",
        "machine": "Some Processor",
        "threads": 1,
        "dtype": "float32",
        "loss_terms": terms,
        "groups": groups,
        "steps": steps,
        "losses": losses,
        "loss_weights": weighed,
        "errors": errors,
        "coefficients": coefficients,
        "true_coefficients": true,
        "final": final,
        "weights_now": {g: w[-1] for g, w in weighed.items()},
        "seconds": 0.05 * iterations,
        "seconds_per_iteration": 0.05,
    } | changes


def write_run(folder, problem="klein-gordon", weights="db-kurtosis", seed=0, **kwargs):
    """Writes a run's two files; returns the path of its JSON."""
    run = content(problem, weights, seed, **kwargs)
    path = folder / problem / weights.replace(":", "_").replace("=", "").replace(",", "_")
    path.mkdir(parents=True, exist_ok=True)
    path /= f"seed{seed}.json"
    write_json(path, run)
    np.savez_compressed(path.with_suffix(".npz"), **arrays(run, problem))
    return path


def arrays(run, problem):
    """The NPZ's arrays: the problem's solution and something near it, gradients like normals."""
    rng = np.random.default_rng(run["seed"])
    if problem == "harmonic":
        points = np.linspace(0, 1, 101)[:, None]
        solution = np.cos(10 * points)
    else:
        axes = (np.linspace(0, 1, 41), np.linspace(0, 1, 31))
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
        x, t = points[:, :1], points[:, 1:]
        solution = x * np.cos(5 * np.pi * t) + (x * t) ** 3
    wrong = np.sin(3 * points.sum(axis=1, keepdims=True) + run["seed"])
    prediction = solution + run["final"].get("L2RE", 0.1) * wrong
    groups = list(run["groups"])
    steps = [0, int(run["steps"][-1])]
    edges, counts = [], []
    for step in steps:
        for i, _ in enumerate(groups):
            scale = 0.3 ** (i if step == 0 else i / 4)
            c, e = np.histogram(scale * rng.standard_normal(4000), bins=60)
            edges.append(e)
            counts.append(c)
    shape = (len(steps), len(groups), -1)
    return {
        "points": points,
        "prediction": prediction,
        "solution": solution,
        "histogram_steps": np.array(steps),
        "histogram_groups": np.array(groups),
        "histogram_edges": np.array(edges).reshape(shape),
        "histogram_counts": np.array(counts).reshape(shape),
    }


#: The records of a user's run; the last fifth has three of them.
STEPS = [0, 79, 80, 90, 100]


def write_user_run(folder, problem, strategy, seed, error):
    """A record of a user's problem whose error is `error` by the median of the last fifth.

    It is 9 at the first record, which is the best step.
    """
    record = content("harmonic", strategy, seed)
    record |= {
        "steps": STEPS,
        "loss_terms": ["pde", "bc"],
        "groups": {"pde": ["pde"], "bc": ["bc"]},
    }
    record["losses"] = record["test_losses"] = {"pde": [1.0] * 5, "bc": [1.0] * 5}
    record["loss_weights"] = {"pde": [1.0] * 5, "bc": [1.0] * 5}
    record["errors"] = {"metric": [9.0, 9.0, error, 3 * error, error / 3]}
    record["final"] = {"metric": error / 3}
    path = folder / problem / strategy / f"seed{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, record)
