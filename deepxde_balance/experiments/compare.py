"""Compares strategies on a user's own problem."""

from __future__ import annotations

import math
import numbers
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._checks import in_interval, positive_int
from ..gradients.choose import EngineName
from ..weightings import Weighting
from .comparison import Comparison
from .run import OtherRunError, check_same, finished
from .strategies import Strategy, named
from .sweep import train_each
from .training import check_device, on_device
from .user_problem import UserProblem, check_build, make, model_of
from .user_record import UserRecord
from .user_run import FINGERPRINT, Training, UserRun, check_fingerprint, label, train

#: The optimizers of the first phase.
OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")

#: Up to this relative difference, two initial losses of the same problem are the same: other
#: hardware and other numbers of threads round differently.
_SAME_LOSS = 1e-3


class AllRunsFailedError(RuntimeError):
    """Every run of a comparison ended in an error. The message is that of the first."""


def compare(
    build: Callable[[], Any],
    strategies: Iterable[str | Weighting],
    iterations: int = 5000,
    seeds: int = 3,
    jobs: int = 1,
    out: str | os.PathLike[str] = "runs",
    *,
    optimizer: str = "adam",
    lr: float = 1e-3,
    lbfgs_iterations: int = 0,
    gradient_engine: EngineName | None = None,
    device: str | None = None,
    threads: int | None = None,
    checkpoint_every: float = 60.0,
) -> Comparison:
    """Trains your own problem with several strategies, from the same networks and points.

    For each strategy and each seed, the seed is set, `build` is called, and what it gives is
    trained. The strategies are ranked at the end of training: by your metric, else by the relative
    L2 error against your solution. Without both, they are ranked by a criterion: each term's test
    loss is divided by its largest value so far in that run, and the worst term counts. The
    criterion is a proxy for the error, no more: it can't tell a wrong solution that meets all terms
    from the right one.

    A finished run is recorded in ``out/<strategy>/seed<k>.json`` and not trained again. A run that
    was stopped, by Ctrl-C for example, goes on from its last checkpoint when `compare` is called
    again. The table and the figures are saved in `out`, too.

    Args:
        build: A function without arguments that returns ``data, net``, or ``data, net, options``
            with a dict of options, or an object with these as attributes. The options are, all of
            them optional:

            - ``"compile"``: a dict of more arguments of :meth:`deepxde_balance.Model.compile`:
              `loss`, `metrics`, `decay`, `external_trainable_variables`, `loss_groups`;
            - ``"solution"``: a function from points (N, d) to the solution's values (N, k);
            - ``"points"``: the points to compare at; by default the test points, or the residual
              points where there are no others;
            - ``"metric"``: a function from the model to a number, the smaller the better. It is
              used instead of the solution. An object may have it as its method `error`;
            - ``"callbacks"``: a list of callbacks.

        strategies: Names, words with parameters like ``"dn:beta=0.9"``, and weighting objects.
        iterations: Iterations of `optimizer`.
        seeds: The number of seeds, which are 0, 1, ...
        jobs: Runs at a time, in processes of their own; -1 for one per core. A script that gives
            more than 1 calls `compare` under ``if __name__ == "__main__":``.
        out: The folder of the records, for one problem.
        optimizer: ``"adam"``, ``"adamw"``, ``"rmsprop"`` or ``"sgd"``.
        lr: The learning rate.
        lbfgs_iterations: Iterations of L-BFGS after that, with the weights kept.
        gradient_engine: See :meth:`deepxde_balance.Model.compile`.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``, ...; by default PyTorch's.
        threads: CPU threads of each run; by default the cores are divided among the jobs.
        checkpoint_every: Seconds from one checkpoint of a run to the next.

    Returns:
        The results. Printed, they are a table.

    Raises:
        TypeError: If `build` can't be called without arguments or returns something else, its
            metric gives no number, or a strategy is neither a name nor a weighting object.
        ValueError: If an argument is out of its range, a strategy is unknown, there twice or can't
            balance this problem, `build` gives another network for the same seed, or the folder
            has runs with other settings or of another problem.
        AllRunsFailedError: If all runs failed; it is a RuntimeError.

    Example:
        >>> import tempfile
        >>> import deepxde as dde
        >>> import deepxde_balance as ddb
        >>> def build():
        ...     geom = dde.geometry.Interval(0, 1)
        ...     pde = lambda x, u: dde.grad.hessian(u, x) - 2
        ...     left = dde.icbc.DirichletBC(geom, lambda x: 1, lambda x, on: on and x[0] < 0.5)
        ...     right = dde.icbc.NeumannBC(geom, lambda x: 2, lambda x, on: on and x[0] > 0.5)
        ...     data = dde.data.PDE(geom, pde, [left, right], num_domain=20, num_boundary=2)
        ...     net = dde.nn.FNN([1, 10, 1], "tanh", "Glorot uniform")
        ...     return data, net, {"solution": lambda x: 1 + x**2}
        >>> with tempfile.TemporaryDirectory() as out:
        ...     results = ddb.compare(build, ["equal", "dn"], iterations=20, seeds=1, out=out)
        >>> results.quantity, list(results.runs)
        ('L2RE', ['equal', 'dn'])
    """
    check_build(build)
    chosen = named(strategies)
    if optimizer not in OPTIMIZERS:
        raise ValueError(
            f"optimizer={optimizer!r} is not allowed: give one of {', '.join(OPTIMIZERS)}; for "
            "L-BFGS after it, lbfgs_iterations."
        )
    training = Training.of_this_process(
        iterations=positive_int("iterations", iterations),
        optimizer=optimizer,
        lr=in_interval("lr", lr, 0, math.inf, "()"),
        lbfgs_iterations=_from_zero("lbfgs_iterations", lbfgs_iterations),
    )
    seeds = positive_int("seeds", seeds)
    if jobs != -1:
        jobs = positive_int("jobs", jobs)
    if threads is not None:
        threads = positive_int("threads", threads)
    in_interval("checkpoint_every", checkpoint_every, 0, math.inf, "[]")
    if device is not None:
        check_device(device)
    with on_device(device):
        fingerprints = [make(build, seed).fingerprint for seed in range(seeds)]
        again = make(build, 0)
        check_fingerprint(again.fingerprint, fingerprints[0], build, 0)
        test_losses = _check(again, chosen, training, gradient_engine)
    runs = [
        UserRun(build, strategy, seed, training, fingerprint)
        for seed, fingerprint in enumerate(fingerprints)
        for strategy in chosen
    ]
    _check_folder(out, runs, test_losses)
    todo = [run for run in runs if finished(run, out) is None]
    cores = os.cpu_count() or 1
    train_one = partial(
        train,
        folder=out,
        device=device,
        threads=threads or max(1, cores // (cores if jobs < 0 else jobs)),
        checkpoint_every=checkpoint_every,
        engine=gradient_engine,
    )
    failed = train_each(todo, train_one, out, label, jobs)
    if failed and len(failed) == len(runs):
        raise AllRunsFailedError(f"All runs failed. {label(failed[0][0])}: {failed[0][1]}")
    return _results(runs, failed, out)


def _check(
    problem: UserProblem,
    strategies: Sequence[Strategy],
    training: Training,
    engine: EngineName | None,
) -> Mapping[str, float]:
    """Compiles the untrained problem with each strategy and measures it once.

    Returns:
        The test losses of the untrained network by term.

    Raises:
        ValueError, TypeError: If a strategy or the options of `build` don't fit.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the runs warn, too
        arguments = {"optimizer": training.optimizer, "lr": training.lr}
        for strategy in strategies:
            model_of(problem, strategy.weighting, gradient_engine=engine, **arguments)
        model = model_of(problem, "equal", **arguments)
        problem.errors(model)
        model.train(iterations=0, verbose=0)
    return dict(zip(model.loss_terms, model.losshistory.loss_test[0], strict=False))


def _check_folder(
    out: str | os.PathLike[str], runs: Sequence[UserRun], test_losses: Mapping[str, float]
) -> None:
    """Checks that the folder's records, of whatever strategies, are of the same comparison.

    Raises:
        OtherRunError: If one is of another problem, or was trained otherwise.
        RecordError: If one is damaged, or of a benchmark problem.
    """
    by_seed = {run.seed: run for run in runs}
    for path in sorted(Path(out).glob("*/seed*.json")):
        record = UserRecord.load(path)
        identity = by_seed.get(record.seed, runs[0]).identity
        own = ["strategy"] if record.seed in by_seed else ["strategy", FINGERPRINT]
        shared = {k: value for k, value in identity["settings"].items() if k not in own}
        expected = {"problem": identity["problem"], "settings": shared}
        settings = {name: record.settings.get(name) for name in shared}
        check_same(expected, {"problem": record.problem, "settings": settings}, path)
        if record.seed == 0:
            _check_losses(record, test_losses)


def _check_losses(record: UserRecord, test_losses: Mapping[str, float]) -> None:
    """Raises an OtherRunError if the losses of the untrained network are not those recorded."""
    for name, here in test_losses.items():
        there = float(record.test_losses[name][0]) if name in record.test_losses else math.nan
        if not np.isclose(there, here, rtol=_SAME_LOSS, atol=0, equal_nan=True):
            raise OtherRunError(
                f"{record.path} is of another problem: the untrained network's loss of {name!r} "
                f"is {there:.4g} there, {here:.4g} here. Choose another folder."
            )


def _results(
    runs: Sequence[UserRun],
    failed: Sequence[tuple[UserRun, str]],
    out: str | os.PathLike[str],
) -> Comparison:
    """Reads the records and saves the table and the figures."""
    records: dict[str, list[UserRecord]] = {run.strategy.name: [] for run in runs}
    for run in runs:
        if run.record(out).exists():
            records[run.strategy.name].append(UserRecord.load(run.record(out)))
    reasons = {
        name: {r.seed: why for r, why in failed if r.strategy.name == name} for name in records
    }
    results = Comparison(records, {name: why for name, why in reasons.items() if why})
    results.save(out)
    return results


def _from_zero(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
        raise ValueError(f"{name}={value!r} is not allowed: it must be an integer of at least 0.")
    return int(value)
