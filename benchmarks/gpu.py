"""What a GPU is needed for, by one command: tests, equality with the CPU, step times, long runs.

    python benchmarks/gpu.py                          # ten minutes
    python benchmarks/gpu.py --minutes 600            # goes on where the last call ended
    python benchmarks/gpu.py --only equality
    python benchmarks/gpu.py --device cpu --out out   # the same in short, on a machine without one

The parts come one after the other, each with files of its own in the folder of results: the tests
marked `device`; weights and parameters against the CPU's, for every engine; the times of a step;
then the papers' problems at full settings that take too long on a CPU. What is finished is skipped,
and a long run that the end of the time has stopped goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("DDE_BACKEND", "pytorch")

import deepxde as dde
import equality
import papers
import torch

from deepxde_balance.experiments import Run, check_device, train
from deepxde_balance.experiments.training import machine
from deepxde_balance.gradients.choose import EngineName
from deepxde_balance.results.record import read, write_json

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "gpu"
PARTS = ("tests", "equality", "step-time", "papers")

#: In the order of their worth.
LONG = ("wave", "allen-cahn", "navier-stokes", "helmholtz")

#: Seconds from one checkpoint of a long run to the next: no more is lost when the time is over.
_CHECKPOINT_EVERY = 20.0


class TimeIsOverError(Exception):
    """The time that was given is over; the same command goes on."""


@dataclasses.dataclass(frozen=True)
class Scope:
    """What is done on a device.

    Args:
        tests: Arguments of pytest.
        engines: The gradient engines.
        iterations: The iterations that are compared with the CPU's.
        points: Factor on the number of points in that comparison.
        strategies: How many strategies are compared.
        cases: The problems whose steps are timed.
        rounds: The number of steps of each contender.
        runs: The long runs.
        engine: Their gradient engine.
    """

    tests: tuple[str, ...]
    engines: tuple[EngineName, ...]
    iterations: int
    points: float
    strategies: int | None
    cases: tuple[str, ...]
    rounds: int
    runs: tuple[papers.Plan, ...]
    engine: EngineName


_FULL = Scope(
    tests=("-m", "device", "--device", "cuda"),
    engines=("one-pass", "per-group", "compiled", "cuda-graphs"),
    iterations=50,
    points=0.1,
    strategies=None,
    cases=("klein-gordon", "helmholtz", "inverse-burgers", "tiny-ode"),
    rounds=30,
    runs=tuple(
        papers.Plan(name, dict.fromkeys(("db-kurtosis", "auto", "equal", "gw-mean"), 1))
        for name in LONG
    ),
    engine="compiled",
)
_SHORT = Scope(
    tests=("-m", "device", "-k", "point_weights and rba"),
    engines=("one-pass",),
    iterations=6,
    points=0.01,
    strategies=1,
    cases=("tiny-ode",),
    rounds=1,
    runs=(papers.Plan("helmholtz", {"db-kurtosis": 1}, 0.01, {"iterations": 20}),),
    engine="one-pass",
)


class StopInTime(dde.callbacks.Callback):
    """Raises TimeIsOverError in the first iteration after a time."""

    def __init__(self, end: float):
        super().__init__()
        self.end = end

    def on_epoch_begin(self) -> None:
        check_time(self.end)


def check_time(end: float) -> None:
    """Raises TimeIsOverError after a time, by ``time.monotonic()``."""
    if time.monotonic() > end:
        raise TimeIsOverError


@dataclasses.dataclass(frozen=True)
class Session:
    """One call of this script.

    Args:
        device: The device.
        scope: What is to be done.
        out: The folder of results.
        end: When the time is over, by ``time.monotonic()``.
    """

    device: str
    scope: Scope
    out: Path
    end: float

    def tasks(self, parts: list[str]) -> Iterator[tuple[Path, Callable[[Path], None]]]:
        """The file of each task, and the function that makes it."""
        scope = self.scope
        if "tests" in parts:
            yield self.out / "tests.json", self.run_tests
        for engine in scope.engines if "equality" in parts else ():
            yield self.out / f"equality-{engine}.json", self.equality_of(engine)
        for case in scope.cases if "step-time" in parts else ():
            yield self.out / f"step_time-{case}.json", self.step_time_of(case)
        for one in scope.runs if "papers" in parts else ():
            for run in one.runs():
                yield run.record(self.out / "papers"), self.training_of(run)

    def work(self, parts: list[str]) -> list[str]:
        """Does what is not finished, until the time is over; returns the names of what failed."""
        tasks = list(self.tasks(parts))
        failed = []
        for path, make in tasks:
            name = str(path.relative_to(self.out))
            if path.exists():
                print(f"{name}: finished")
                continue
            try:
                check_time(self.end)
                print(f"{name} ...", flush=True)
                make(path)
            except TimeIsOverError:
                left = sum(not path.exists() for path, _ in tasks)
                print(f"The time is over, {left} of {len(tasks)} are left: call again to go on.")
                break
            except Exception:  # a GPU is dear: the other tasks are done all the same
                traceback.print_exc()
                failed.append(name)
        return failed

    def run_tests(self, path: Path) -> None:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
        command += self.scope.tests
        done = self._run(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True)
        lines = done.stdout.splitlines()
        write_json(path, {**self._head(), "status": done.returncode, "output": lines})
        print("\n".join(lines[-20:]))

    def equality_of(self, engine: EngineName) -> Callable[[Path], None]:
        def compare(path: Path) -> None:
            scope = self.scope
            cases = equality.strategies()[: scope.strategies] if engine == "one-pass" else []
            found: dict[str, dict[str, float]] = {}
            for case in (*cases, *equality.OTHERS):
                check_time(self.end)
                found |= equality.differences(
                    [case], self.device, engine, scope.iterations, scope.points
                )
            wrong = equality.too_large(found)
            entries = {"engine": engine, "iterations": scope.iterations, "points": scope.points}
            write_json(path, {**self._head(), **entries, "too_large": wrong, "relative": found})
            print(f"Larger than rounding: {', '.join(wrong) or 'no difference'}.")

        return compare

    def step_time_of(self, case: str) -> Callable[[Path], None]:
        options = [
            f"--{name}" for name in ("compiled", "cuda-graphs") if name in self.scope.engines
        ]

        def measure(path: Path) -> None:
            command = [sys.executable, str(HERE / "step_time.py"), "--cases", case, *options]
            command += ["--rounds", str(self.scope.rounds), "--device", self.device]
            self._run([*command, "--out", str(path)], check=True)

        return measure

    def training_of(self, run: Run) -> Callable[[Path], None]:
        def go_on(path: Path) -> None:
            every, callbacks = _CHECKPOINT_EVERY, [StopInTime(self.end)]
            folder, engine = self.out / "papers", self.scope.engine
            record = train(run, folder, self.device, None, every, callbacks, engine)
            print(f"L2RE {100 * record.final['L2RE']:.3g} %")

        return go_on

    def _head(self) -> dict[str, Any]:
        return {"machine": machine(torch.device(self.device)), "torch": torch.__version__}

    def _run(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(command, timeout=self.end - time.monotonic(), **options)
        except subprocess.TimeoutExpired:
            raise TimeIsOverError from None


def main(arguments: list[str] | None = None) -> None:
    given = parse_arguments(arguments)
    (given.out / "papers").mkdir(parents=True, exist_ok=True)
    scope = _SHORT if given.device == "cpu" else _FULL
    session = Session(given.device, scope, given.out, time.monotonic() + 60 * given.minutes)
    failed = session.work(given.only)
    if "papers" in given.only:
        print(papers.cell_table(scope.runs, read(given.out / "papers")))
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}.")


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, ...; cpu for all in short")
    parser.add_argument(
        "--minutes", type=float, default=8.5, help="after which no iteration begins"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    try:
        check_device(given.device)
    except ValueError as error:
        parser.error(f"{error} Without a GPU, --device cpu does the same in short.")
    if not given.minutes > 0:
        parser.error(f"--minutes {given.minutes}: give more than 0")
    return given


if __name__ == "__main__":
    main()
