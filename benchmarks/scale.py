"""Time per point and peak memory of a training step over the number of points, groups and ranks.

    python benchmarks/scale.py
    python benchmarks/scale.py --points 1000 10000 --groups 2 32 --engines stock one-pass
    python benchmarks/scale.py --points 10000 100000 --groups 2 --ranks 2
    python benchmarks/scale.py --estimate
    python benchmarks/scale.py --ratios 10000 1000000 --rounds 3
    python benchmarks/scale.py --ratios 10000 --passes 1024 2048 4096 --width 100 --rounds 9

Klein-Gordon, 50 x 3, float32, residual points drawn at random, 3000 points of u at x = 0, x = 1
and t = 0, which are divided into the groups. Each case is a process of its own: a
training of one iteration, with DeepXDE's records before and after it, then some further steps,
which are timed. Peak memory is that of the process, and next to it what the process has after its
imports. Ours updates the weights of `db-kurtosis` in each step; stock DeepXDE has none. Times are
of the processor, so that other work on the machine is not counted. A case above the memory limit
is left out.

With several ranks, time and memory are those of the first of them: its time over all points.
Stock DeepXDE has no ranks, and points in passes are for one process.

With `--ratios`, one process instead, in which all sizes take turns: the time per point in passes
over that of the first size at once. There the conditions have `--share` of the residual points,
so that every size is of the same mixture: a condition's point has no derivatives to compute, and
costs a fraction of a residual point.

With `--estimate`, nothing is measured: what several GPUs would give, on the assumptions of
:class:`Gpus`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("DDE_BACKEND", "pytorch")

import deepxde as dde
import numpy as np
import torch
from tqdm import tqdm

import deepxde_balance as ddb
from deepxde_balance.problems.klein_gordon import residual
from deepxde_balance.problems.sampling import space_time

#: The arguments of `compile` of each contender but stock DeepXDE.
ENGINES: dict[str, dict[str, Any]] = {
    "stock": {},
    "one-pass": {"gradient_engine": "one-pass", "points_per_pass": 10**9},
    "passes": {"gradient_engine": "one-pass", "points_per_pass": 4096},
    "compiled": {"gradient_engine": "compiled"},
}

#: The engines that several ranks can use.
OF_RANKS = ("one-pass", "compiled")

CONDITION_POINTS = 3000

RESULTS = Path(__file__).parent / "results" / "scale.json"


def main() -> None:
    args = parse_arguments()
    torch.set_num_threads(1)
    if args.case:
        engine, points, groups, ranks = args.case[0], *map(int, args.case[1:])
        found = measured(engine, points, groups, ranks, args)
        if ranks == 1 or ddb.distributed().is_first:
            print(json.dumps(found))
        return
    if args.estimate:
        print(estimates(Gpus()))
        return
    results: dict[str, Any] = {"machine": machine(), "cases": [], "ratios": []}
    if args.out.exists():
        results |= json.loads(args.out.read_text())
    if args.ratios:
        results["ratios"].append(ratios(args))
        write(results, args.out)
    else:
        for case in tqdm(cases_of(args)):
            known = [c for c in results["cases"] if any(c[key] != case[key] for key in case)]
            results["cases"] = [*known, case | in_own_process(case, args)]
            write(results, args.out)
    print(f"\n{results['machine']}\n\n{markdown(results)}")
    if results["cases"]:
        draw(results, args.out.with_suffix(".png"))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, nargs="+", default=[1000, 10000, 100000, 1000000])
    parser.add_argument("--groups", type=int, nargs="+", default=[1, 2, 8, 32])
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--rounds", type=int, default=5, help="timed steps, fewer of many points")
    parser.add_argument("--limit", type=float, default=8, help="GiB of memory of a process")
    parser.add_argument("--seconds", type=float, default=300, help="longest time of a process")
    parser.add_argument("--ratios", type=int, nargs="+", metavar="POINTS")
    parser.add_argument("--passes", type=int, nargs="+", default=[4096], help="beside --ratios")
    parser.add_argument("--width", type=int, default=50, help="of the network, beside --ratios")
    parser.add_argument("--share", type=float, default=0.3, help="of conditions, beside --ratios")
    parser.add_argument("--estimate", action="store_true", help="of several GPUs, not measured")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--case", nargs=4, metavar=("ENGINE", "POINTS", "GROUPS", "RANKS"))
    return parser.parse_args()


def cases_of(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Every number of points with 2 groups, and every number of groups with 10000 points."""
    sizes = [(n, 2) for n in args.points] + [(10000, g) for g in args.groups if g != 2]
    return [
        {"engine": engine, "points": points, "groups": groups, "ranks": ranks}
        for ranks in args.ranks
        for points, groups in sizes
        for engine in args.engines
        if ranks == 1 or engine in OF_RANKS
    ]


def in_own_process(case: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """What a case takes, or why it is left out."""
    launcher = []
    if case["ranks"] > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone"]
        launcher.append(f"--nproc_per_node={case['ranks']}")
    command = [sys.executable, *launcher, __file__, "--case", *map(str, case.values())]
    command += ["--rounds", str(args.rounds), "--limit", str(args.limit)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=args.seconds, check=True
        )
    except subprocess.TimeoutExpired:
        return {"left_out": f"more than {args.seconds:g} s"}
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines()
        memory = any("allocate" in line or "MemoryError" in line for line in lines)
        named = [line for line in lines if "Error: " in line] or lines[-1:]
        return {"left_out": f"more than {args.limit:g} GiB" if memory else named[0]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def write(results: dict[str, Any], path: Path) -> None:
    """Writes the results; a file is never half there."""
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(results, indent=1) + "\n")
    beside.replace(path)


def measured(
    engine: str, points: int, groups: int, ranks: int, args: argparse.Namespace
) -> dict[str, float]:
    """The time of a step and the peak memory of this process."""
    if ranks > 1:
        ddb.distributed()
        ENGINES[engine].pop("points_per_pass", None)  # a rank's share goes at once
    limit = int(args.limit * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    at_start = peak_memory()
    model = made(engine, points, groups)
    # The compiled engine traces points in the second iteration that has them.
    model.train(iterations=2 if engine == "compiled" else 1, display_every=10**6, verbose=0)
    batch = model.data.train_next_batch()
    seconds = []
    for _ in range(max(1, min(args.rounds, 500000 // points))):
        seconds.append(timed(model, batch))
    return {
        "microseconds_per_point": 1e6 * statistics.median(seconds) / (points + CONDITION_POINTS),
        "peak_mib": peak_memory(),
        "imports_mib": at_start,
    }


def made(
    engine: str,
    points: int,
    groups: int,
    width: int = 50,
    condition_points: int = CONDITION_POINTS,
) -> dde.Model:
    dde.config.set_random_seed(0)
    rng = np.random.default_rng(0)
    problem = ddb.problems.get("klein-gordon")
    at, n = rng.random((condition_points, 2)), condition_points // 3
    at[:n, 0], at[n : 2 * n, 0], at[2 * n :, 1] = 0, 1, 0
    conditions = [dde.icbc.PointSetBC(x, problem.solution(x)) for x in np.array_split(at, groups)]
    anchors = rng.random((points, 2), dtype=np.float32)
    data = dde.data.TimePDE(space_time(0, 1), residual, conditions, anchors=anchors)
    net = dde.nn.FNN([2, width, width, width, 1], "tanh", "Glorot normal")
    model = (dde.Model if engine == "stock" else ddb.Model)(data, net)
    weighting = ddb.GradientWeighting("kurtosis", "difficulty", ddb.RunningMean(), update_every=1)
    arguments = {"loss_weights": weighting, **ENGINES[engine]} if engine != "stock" else {}
    model.compile("adam", lr=1e-3, verbose=0, **arguments)
    return model


def timed(model: dde.Model, batch: tuple[Any, ...]) -> float:
    """The processor's seconds of a step."""
    start = time.process_time()
    model.train_step(*batch)
    return time.process_time() - start


def peak_memory() -> float:
    """The largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def ratios(args: argparse.Namespace) -> dict[str, Any]:
    """The time per point in passes over that of the first size at once, alternately measured."""
    at_once = (10**9, args.ratios[0])
    keys = [at_once, *((number, size) for size in args.ratios for number in args.passes)]
    steps = {}
    for number, size in keys:
        ENGINES["passes"]["points_per_pass"] = number
        model = made("passes", size, 2, args.width, round(args.share * size))
        steps[number, size] = (model, model.data.train_next_batch())
    seconds: dict[tuple[int, int], list[float]] = {key: [] for key in steps}
    for model, batch in steps.values():
        model.train_step(*batch)
    for _ in tqdm(range(args.rounds)):
        for key, (model, batch) in steps.items():
            for _ in range(max(1, 100000 // key[1])):  # more of the steps of few points
                seconds[key].append(timed(model, batch) / len(batch[0]))
    first = statistics.median(seconds[at_once])
    return {
        "width": args.width,
        "share": args.share,
        "rounds": args.rounds,
        "at_once": args.ratios[0],
        "ratios": [
            {"points_per_pass": number, "points": size, "ratio": statistics.median(values) / first}
            for (number, size), values in seconds.items()
        ][1:],
    }


@dataclass(frozen=True)
class Gpus:
    """Assumptions about GPUs, none of them measured; and the step time that follows from them.

    A step of R GPUs takes T(R) = h + c N / R + r(R): the host starts the kernels, each GPU computes
    on its share of the points, and the losses and the gradients of all groups are added up once,

        r(R) = 2 (R - 1) (l + 4 (K P + L) / (R B)),

    a ring all-reduce of single precision numbers, in 2 (R - 1) stages of a part 1 / R each. N
    points, K groups, P parameters, L loss terms.

    Args:
        start: h, seconds in which the host starts the kernels of an uncompiled step.
        flops: Floating-point operations that a GPU does a second on layers as narrow as these.
        evaluations: Passes through the network that a point costs, of 2 P operations each: the
            value, its derivatives up to the second, and the backward through all of these.
        stage: l, seconds of a stage of the all-reduce beside its transfer.
        bandwidth: B, bytes a second from one GPU to the next.
    """

    start: float = 5e-3
    flops: float = 5e12
    evaluations: float = 30
    stage: float = 1e-5
    bandwidth: float = 2.5e10

    def compute(self, points: int, parameters: int, ranks: int) -> float:
        """c N / R in seconds, where c is the time of a point."""
        return self.evaluations * 2 * parameters / self.flops * points / ranks

    def all_reduce(self, parameters: int, groups: int, terms: int, ranks: int) -> float:
        """r(R) in seconds."""
        part = 4 * (groups * parameters + terms) / ranks
        return 2 * (ranks - 1) * (self.stage + part / self.bandwidth)

    def step(self, points: int, parameters: int, groups: int, ranks: int) -> float:
        """T(R) in seconds, with a loss term for each group."""
        communication = self.all_reduce(parameters, groups, groups, ranks)
        return self.start + self.compute(points, parameters, ranks) + communication


def parameters_of(width: int, depth: int = 3, inputs: int = 2) -> int:
    """The number of parameters of a network with `depth` hidden layers and one output."""
    return (inputs + 1) * width + (depth - 1) * (width + 1) * width + width + 1


def estimates(gpus: Gpus) -> str:
    """A table of what 8 and 64 GPUs would give on the assumptions."""
    lines = [
        "| network | points | groups | 1 GPU, ms | 8 GPUs, ms (all-reduce) | 64 GPUs, ms "
        "(all-reduce) | 1 / 8 | 1 / 64 |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for width in (50, 500):
        parameters = parameters_of(width)
        for points in (10**5, 10**6, 10**7):
            for groups in (2, 32):
                one = gpus.step(points, parameters, groups, 1)
                cells, ratios_ = [], []
                for ranks in (8, 64):
                    step = gpus.step(points, parameters, groups, ranks)
                    reduce_ = gpus.all_reduce(parameters, groups, groups, ranks)
                    cells.append(f"{1e3 * step:.1f} ({1e3 * reduce_:.1f})")
                    ratios_.append(f"{one / step:.1f}")
                row = [f"{width} x 3", f"{points:.0e}", str(groups), f"{1e3 * one:.1f}"]
                lines.append(f"| {' | '.join([*row, *cells, *ratios_])} |")
    return "\n".join(lines)


def machine() -> str:
    return (
        f"CPU, 1 thread, torch {torch.__version__}, DeepXDE {dde.__version__}, "
        f"Python {platform.python_version()}"
    )


def markdown(results: dict[str, Any]) -> str:
    """A table of each case."""
    lines = [
        "| residual points | groups | ranks | engine | us per point | peak memory, MiB | less "
        "imports |",
        "|---:|---:|---:|---|---:|---:|---:|",
    ]
    keys = ("points", "groups", "ranks", "engine")
    order = sorted(results["cases"], key=lambda c: (c["ranks"], c["points"], c["groups"]))
    for case in order:
        start = f"| {' | '.join(str(case[key]) for key in keys)} |"
        if "left_out" in case:
            lines.append(f"{start} {case['left_out']} | | |")
            continue
        own = case["peak_mib"] - case["imports_mib"]
        time_, peak = case["microseconds_per_point"], case["peak_mib"]
        lines.append(f"{start} {time_:.1f} | {peak:.0f} | {own:.0f} |")
    for run in results["ratios"]:
        title = f"width {run['width']}: time per point / {run['at_once']} points at once"
        lines += ["", f"| {title} | |", "|---|---:|"]
        for row in run["ratios"]:
            what = f"{row['points']} points, {row['points_per_pass']} a pass"
            lines.append(f"| {what} | {row['ratio']:.2f} |")
    return "\n".join(lines)


def draw(results: dict[str, Any], path: Path) -> None:
    """Peak memory and time per point over the residual points, and time over the groups."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    done = [case for case in results["cases"] if "left_out" not in case]
    for number, engine in enumerate(ENGINES):
        for ranks in sorted({case["ranks"] for case in done}):
            own = [c for c in done if (c["engine"], c["ranks"]) == (engine, ranks)]
            name = engine if ranks == 1 else f"{engine}, {ranks} ranks"
            style = {"label": name, "color": f"C{number}", "marker": "o", "markersize": 4}
            style["linestyle"] = "-" if ranks == 1 else "--"
            over_points = sorted((c for c in own if c["groups"] == 2), key=lambda c: c["points"])
            x = [c["points"] for c in over_points]
            if x:
                axes[0].loglog(x, [c["peak_mib"] for c in over_points], **style)
                y = [c["microseconds_per_point"] for c in over_points]
                axes[1].semilogx(x, y, **style)
            over_groups = sorted(
                (c for c in own if c["points"] == 10000), key=lambda c: c["groups"]
            )
            y = [c["microseconds_per_point"] for c in over_groups]
            if y:
                axes[2].semilogx([c["groups"] for c in over_groups], y, base=2, **style)
    axes[0].set(xlabel="residual points (2 groups)", ylabel="peak memory of a process, MiB")
    axes[1].set(xlabel="residual points (2 groups)", ylabel="CPU time per point and step, µs")
    axes[2].set(xlabel="groups (10000 residual points)", ylabel="CPU time per point and step, µs")
    for axis in axes[1:]:
        axis.set_ylim(bottom=0)
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
