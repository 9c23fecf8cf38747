"""The wall time of whole trainings: stock DeepXDE, the default engine, and "fastest".

    python benchmarks/whole_training.py --cases klein-gordon --iterations 20000
    python benchmarks/whole_training.py --iterations 2000 --out whole_training.json

Each contender is one `train` of so many iterations, compilation included. The contenders take
turns: one trains for a number of iterations while the others wait, and its clock runs only then.
A slow moment of the machine slows all of them. PyTorch's cache of compiled kernels is empty at
first, as in a script that runs for the first time.

The file of `--out` is written every half minute, with the number of iterations so far: a long
measurement that is stopped leaves what it has.
"""

from __future__ import annotations

import argparse
import copy
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("DDE_BACKEND", "pytorch")

import deepxde as dde
import torch
from cases import CASES

import deepxde_balance as ddb
from deepxde_balance.gradients.compiled.fastest import FastestEngine
from deepxde_balance.results.record import write_json

#: The contenders: the class of the model, and the gradient engine.
CONTENDERS: dict[str, tuple[type, str | None]] = {
    "stock": (dde.Model, None),
    "uncompiled": (ddb.Model, None),
    "fastest": (ddb.Model, "fastest"),
}


class Turn(dde.callbacks.Callback):
    """Lets a training run for some iterations, then wait for the others.

    Args:
        name: The contender.
        waiting: The names of all contenders that still train, the first of which has its turn.
        changed: Notified when the turn goes on.
        iterations: The number of iterations of a turn.
    """

    def __init__(
        self, name: str, waiting: list[str], changed: threading.Condition, iterations: int
    ):
        super().__init__()
        self.name, self.waiting, self.changed, self.iterations = name, waiting, changed, iterations
        #: The seconds of the training at the end of each turn.
        self.seconds = [0.0]
        self._since = 0.0

    def begin(self) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self.waiting[0] == self.name)
        self._since = time.perf_counter()

    def end(self, last: bool) -> None:
        self.seconds.append(self.seconds[-1] + time.perf_counter() - self._since)
        with self.changed:
            self.waiting.remove(self.name)
            if not last:
                self.waiting.append(self.name)
            self.changed.notify_all()

    def on_epoch_end(self) -> None:
        if self.model.train_state.step % self.iterations == 0:
            self.end(last=False)
            self.begin()


def measure(name: str, weights: str, iterations: int, turn: int) -> Iterator[dict[str, Any]]:
    """The seconds of each contender for the same iterations, now and then and at the end."""
    waiting, changed = list(CONTENDERS), threading.Condition()
    turns = {key: Turn(key, waiting, changed, turn) for key in CONTENDERS}
    failed: list[BaseException] = []

    def train(key: str) -> None:
        clock, (model_class, engine) = turns[key], CONTENDERS[key]
        clock.begin()
        try:
            torch.set_num_threads(threads)
            case = CASES[name]()
            model = model_class(case.data, copy.deepcopy(case.net))
            ours: dict[str, Any] = {}
            if model_class is ddb.Model:
                ours = {"loss_weights": weights, "loss_groups": case.groups}
                ours |= {"gradient_engine": engine}
            variables = case.variables or None
            model.compile(
                "adam", lr=1e-3, external_trainable_variables=variables, verbose=0, **ours
            )
            model.train(iterations=iterations, callbacks=[clock], verbose=0)
        except BaseException as error:
            failed.append(error)
        finally:
            clock.end(last=True)

    threads = torch.get_num_threads()
    running = [threading.Thread(target=train, args=(key,), daemon=True) for key in CONTENDERS]
    for thread in running:
        thread.start()
    while any(thread.is_alive() for thread in running):
        for thread in running:
            thread.join(timeout=10.0)
        if failed:
            raise failed[0]
        done = min(len(clock.seconds) for clock in turns.values()) - 1
        if done > 0:
            yield {
                "iterations": min(done * turn, iterations),
                "of": iterations,
                "seconds": {key: clock.seconds[done] for key, clock in turns.items()},
                "engine": turns["fastest"].model.gradient_engine,
                **costs(turns["fastest"].model),
            }


def costs(model: ddb.Model) -> dict[str, float | None]:
    """The seconds that the last trace and the last compilation of "fastest" took."""
    step = model._run.step
    assert step is not None and isinstance(step.engine, FastestEngine)
    pay_off = step.engine._pay_off
    return {"trace seconds": pay_off.trace_seconds, "compile seconds": pay_off.compile_seconds}


def in_words(name: str, result: dict[str, Any]) -> str:
    """A line about a case."""
    seconds = result["seconds"]
    of_stock, of_uncompiled = (seconds["fastest"] / seconds[key] for key in ("stock", "uncompiled"))
    return (
        f"{name}, {result['iterations']} iterations: "
        f"{', '.join(f'{key} {s:.1f} s' for key, s in seconds.items())}; fastest / stock "
        f"{of_stock:.2f}, / uncompiled {of_uncompiled:.2f}, in the end {result['engine']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--weights", default="db-kurtosis")
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--turn", type=int, default=50, help="iterations of a turn")
    parser.add_argument("--out", type=Path, help="a JSON file for the numbers")
    args = parser.parse_args()
    if args.turn < 1 or args.iterations % args.turn:
        parser.error(f"--iterations {args.iterations}: give a multiple of --turn, {args.turn}")
    results: dict[str, Any] = {}
    for name in args.cases:
        with tempfile.TemporaryDirectory() as cache:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
            for result in measure(name, args.weights, args.iterations, args.turn):
                results[name] = result
                if args.out:
                    write_json(args.out, {"torch": torch.__version__, "cases": results})
        print(in_words(name, results[name]), flush=True)


if __name__ == "__main__":
    main()
