"""The time of one training step as a ratio to stock DeepXDE's, and its peak memory.

    python benchmarks/step_time.py
    python benchmarks/step_time.py --cases klein-gordon tiny-ode --rounds 50 --out step_time.json
    python benchmarks/step_time.py --cases klein-gordon --strategies uw sa ntk:probes=1 relobralo
    python benchmarks/step_time.py --cases klein-gordon --point-weights rba brdr causal --compiled

In every round each contender takes one step, so that a slow moment of the machine slows all of
them. The ratios are of the medians over the rounds. A strategy that updates its weights every n-th
iteration has two kinds of steps; its time is the mean over n iterations, from the median of each
kind. TorchJD is a contender if it is installed (pip install '.[torchjd]').

Where other programs use the cores, give ``--clock cpu``: the processor's time of this process. By
the wall clock, a step that is longer than a time slice has other programs' time in it, and a
shorter one has not.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("DDE_BACKEND", "pytorch")

import deepxde as dde
import torch
from cases import CASES, Case
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

import deepxde_balance as ddb
from deepxde_balance._deepxde.batch import Batch
from deepxde_balance._deepxde.stock_losses import deepxde_losses
from deepxde_balance.weightings import words
from deepxde_balance.weightings.kinds import FromGradients, FromKernel

Step = Callable[[], None]

STRATEGIES = ["db-mean", "db-kurtosis", "dn"]


def main() -> None:
    args = parse_arguments()
    torch.set_default_device(args.device)
    results = {name: time_case(name, CASES[name](), args) for name in args.cases}
    print(f"\n{machine(args)}\n\n{markdown(results)}")
    if args.out:
        text = json.dumps({"machine": machine(args), "cases": results}, indent=1)
        beside = args.out.with_suffix(".part")
        beside.write_text(text)
        beside.replace(args.out)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES, metavar="NAME")
    parser.add_argument(
        "--compiled", action="store_true", help="the compiled engine too, a minute more a case"
    )
    parser.add_argument(
        "--cuda-graphs", action="store_true", help="the compiled engine with CUDA graphs too"
    )
    parser.add_argument(
        "--point-weights",
        nargs="+",
        default=[],
        metavar="NAME",
        help="beside equal and db-kurtosis",
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, help="a JSON file for the numbers")
    args = parser.parse_args()
    try:
        for name in args.strategies:
            updating_always(name)  # raises if there is no such strategy
        args.strategies = [words.normalized(name) for name in args.strategies]
        for name in args.point_weights:
            ddb.point_weightings.get(name)  # likewise
    except (ValueError, TypeError) as error:
        parser.error(str(error))
    if args.rounds < 1:
        parser.error(f"--rounds {args.rounds}: give at least 1")
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error(f"--device {args.device}: there is no CUDA device")
    if args.device.startswith("cuda") and args.clock == "cpu":
        parser.error("--clock cpu: a GPU works beside the processor")
    return args


def contenders(case: Case, args: argparse.Namespace) -> dict[str, Step]:
    """A step of each contender. Each has its own copy of the network."""
    steps = {"stock equal": model_step(dde.Model, case), "floor": plain_step(case)}
    steps["ours equal"] = model_step(ddb.Model, case)
    for name in args.strategies:
        weighting = updating_always(name)
        weights = {"loss_weights": weighting, "loss_groups": case.groups}
        steps[f"{name} @1"] = model_step(ddb.Model, case, **weights)
    chosen = {"compiled": args.compiled, "cuda-graphs": args.cuda_graphs}
    for engine in (name for name, is_chosen in chosen.items() if is_chosen):
        # Each step of this engine computes the gradients of all groups, whatever update_every is.
        weights = {"loss_weights": updating_always("db-kurtosis"), "loss_groups": case.groups}
        steps[f"db-kurtosis @1, {engine}"] = model_step(
            ddb.Model, case, gradient_engine=engine, **weights
        )
    steps |= with_point_weights(case, args.point_weights, args.compiled)
    steps["backward per term"] = per_term_step(case)
    if importlib.util.find_spec("torchjd"):
        steps["TorchJD autojac"] = torchjd_step(case)
    return steps


def with_point_weights(case: Case, names: list[str], compile_too: bool) -> dict[str, Step]:
    """Steps with point weights, and those without that they are compared with."""
    steps: dict[str, Step] = {}
    engines = ["one-pass", "compiled"] if compile_too and names else ["one-pass"] if names else []
    for engine in engines:
        for strategy, weights in (
            ("equal", "equal"),
            ("db-kurtosis @1", updating_always("db-kurtosis")),
        ):
            for name in (None, *names):
                steps[label(strategy, name, engine)] = model_step(
                    ddb.Model,
                    case,
                    loss_weights=weights,
                    loss_groups=case.groups,
                    gradient_engine=engine,
                    point_weights=name,
                )
    return steps


def label(strategy: str, point_weights: str | None, engine: str) -> str:
    return f"{strategy}{'' if point_weights is None else f'+{point_weights}'}, {engine}"


def updating_always(strategy: str) -> ddb.weightings.Weighting:
    """The weighting of a word, with an update in every iteration."""
    name, parameters = words.parse(strategy)
    return ddb.weightings.get(name, **(parameters | {"update_every": 1}))


def compiled(model_class: type, case: Case, **compile_args: object) -> dde.Model:
    model = model_class(case.data, copy.deepcopy(case.net))
    variables = case.variables or None
    model.compile(
        "adam", lr=1e-3, external_trainable_variables=variables, verbose=0, **compile_args
    )
    return model


def model_step(model_class: type, case: Case, **compile_args: object) -> Step:
    model = compiled(model_class, case, **compile_args)
    batch = case.data.train_next_batch()
    return lambda: model.train_step(*batch)


def plain_step(case: Case) -> Step:
    """A plain PyTorch step on the same points without weights: no package can be much faster."""
    net = copy.deepcopy(case.net)
    optimizer = torch.optim.Adam([*net.parameters(), *case.variables], lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        case.plain(net).backward()
        optimizer.step()

    return step


def per_term_step(case: Case) -> Step:
    """A backward for each term's gradient, then DeepXDE's step, as in many users' scripts."""
    model = compiled(dde.Model, case)
    batch = case.data.train_next_batch()
    parameters = list(model.net.parameters())

    def step() -> None:
        for loss in deepxde_losses(model, Batch(*batch)).losses:
            torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        model.train_step(*batch)

    return step


def torchjd_step(case: Case) -> Step:
    """TorchJD's Jacobian of the terms, and the sum of its rows as the gradient."""
    from torchjd.aggregation import Sum
    from torchjd.autojac import backward, jac_to_grad

    model = compiled(dde.Model, case)
    batch = case.data.train_next_batch()
    parameters = [*model.net.parameters(), *case.variables]

    def step() -> None:
        losses = deepxde_losses(model, Batch(*batch)).losses
        model.opt.zero_grad()
        backward(losses, inputs=parameters, parallel_chunk_size=1)
        jac_to_grad(parameters, Sum())
        model.opt.step()

    return step


def time_case(name: str, case: Case, args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Median time and peak memory of each contender, and their ratios to stock DeepXDE's."""
    steps = contenders(case, args)
    seconds: dict[str, list[float]] = {key: [] for key in steps}
    for step in list(steps.values()) * 2:  # warm up: our first step is checked against DeepXDE
        step()
    order = list(steps)
    for _ in tqdm(range(args.rounds), desc=name):
        for key in order:
            seconds[key].append(timed(steps[key], args.device, args.clock))
        order.append(order.pop(0))
    median = {key: statistics.median(values) for key, values in seconds.items()}
    memory = {key: peak_memory(step, args.device) for key, step in steps.items()}
    for strategy in args.strategies:
        if not isinstance(updating_always(strategy), (FromGradients, FromKernel)):
            continue  # steps with and without an update take the same time
        for every in (10, 100):
            with_update, without = median[f"{strategy} @1"], median["ours equal"]
            key = f"{strategy} @{every}"
            median[key] = (with_update + (every - 1) * without) / every
            memory[key] = max(memory[f"{strategy} @1"], memory["ours equal"])
    stock = "stock equal"
    return {
        key: {
            "milliseconds": 1e3 * median[key],
            "ratio": median[key] / median[stock],
            "memory_mib": memory[key] / 2**20,
            "memory_ratio": memory[key] / memory[stock],
        }
        for key in median
    }


def timed(step: Step, device: str, clock: str) -> float:
    """The seconds that a step takes, by the clock on the wall or of the processor."""
    now = time.process_time if clock == "cpu" else time.perf_counter
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    start = now()
    step()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return now() - start


def peak_memory(step: Step, device: str) -> int:
    """The largest number of bytes that a step allocates for tensors at a time."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        step()
    held = most = 0
    events = recorded.profiler.kineto_results.events()
    for event in sorted((e for e in events if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def machine(args: argparse.Namespace) -> str:
    device = torch.cuda.get_device_name() if args.device.startswith("cuda") else "CPU"
    return (
        f"{device}, {torch.get_num_threads()} threads, torch {torch.__version__}, DeepXDE "
        f"{dde.__version__}, Python {platform.python_version()}, medians of {args.rounds} rounds, "
        f"{args.clock} clock"
    )


def markdown(results: dict[str, dict[str, dict[str, float]]]) -> str:
    """A table of time ratios and a table of memory ratios, with a column for each case."""
    lines = []
    for title, key in (("time / stock DeepXDE's", "ratio"), ("peak memory / its", "memory_ratio")):
        lines.append(f"| {title} | " + " | ".join(results) + " |")
        lines.append("|---" * (len(results) + 1) + "|")
        for row in next(iter(results.values())):  # every case has the same contenders
            cells = [f"{case[row][key]:.2f}" for case in results.values()]
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
        lines.append("")
    for case_name, case in results.items():
        lines += point_weights_lines(case_name, case)
    stock = [f"{name} {case['stock equal']['milliseconds']:.1f}" for name, case in results.items()]
    lines.append(f"Stock DeepXDE's step, in ms: {', '.join(stock)}.")
    return "\n".join(lines)


def point_weights_lines(case_name: str, case: dict[str, dict[str, float]]) -> list[str]:
    """A table of the time of a step with point weights over that of the same step without."""
    rows = []
    for name, values in case.items():
        strategy, plus, rest = name.partition("+")
        if plus:
            _, _, engine = rest.rpartition(", ")
            without = case[label(strategy, None, engine)]["ratio"]
            rows.append(f"| {name} | {values['ratio'] / without:.2f} |")
    head = [f"| {case_name}: time / without point weights | |", "|---|---|"]
    return [*head, *rows, ""] if rows else []


if __name__ == "__main__":
    main()
