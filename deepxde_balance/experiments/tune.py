"""Searches fixed weights, or a strategy's options, on a user's own problem."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .._checks import positive_int
from ..gradients.choose import EngineName
from .run import finished
from .search import Search, alone
from .search_space import Point, SearchSpace, Space, read_space
from .tuned import Call, Tuned
from .user_record import UserRecord
from .user_run import UserRun
from .user_sweep import AllRunsFailedError, UserSweep, from_zero


def tune(
    build: Callable[[], Any],
    space: Space,
    calls: int = 20,
    iterations: int = 5000,
    seeds: int = 1,
    jobs: int = 1,
    out: str | os.PathLike[str] = "tuned",
    *,
    optimizer: str = "adam",
    lr: float = 1e-3,
    lbfgs_iterations: int = 0,
    gradient_engine: EngineName | None = None,
    device: str | None = None,
    threads: int | None = None,
    checkpoint_every: float = 60.0,
    random_state: int = 0,
) -> Tuned:
    """Searches the best fixed weights, or the best options of a strategy, for your own problem.

    Each call of the search trains your problem with other weights or options, from the same
    networks and points. What :func:`deepxde_balance.compare` ranks strategies by is minimised: your
    metric, else the relative L2 error against your solution, else the criterion from the test
    losses, which is a proxy. The search is scikit-optimize's, with a Gaussian process.

    The first call has the values that you would have without a search, if the space has them:
    weight 1 for all, or the strategy's defaults. So the best call is not worse than that. The first
    calls are spread over the space, two for each dimension and two more, but at most ten. The
    others are where the Gaussian process of the values so far expects a lower one; with several
    jobs, those that are asked for together do not know each other's values.

    It sees the logarithms of the values, as long as all of them are above 0. A call whose run fails
    or diverges counts as the worst call so far. No point is tried twice: in a space that has fewer
    points than `calls`, the search ends earlier.

    The runs are recorded in ``out/<strategy>/seed<k>.json``, the points in ``out/search.json``. A
    search that was stopped goes on when `tune` is called again, with the same points as without the
    stop; with more `calls` than before, it goes on from its end. Runs that failed are not
    tried again unless ``search.json`` is deleted. The table and a figure are saved in `out`, too.

    Args:
        build: See :func:`deepxde_balance.compare`.
        space: What is searched, one of

            - ranges of fixed weights by group, ``{"bc0": (1, 1e4), "ic1": (1, 1e4)}``, on a
              logarithmic scale. The groups are those of `loss_groups`, or one for each condition. A
              group that is not named has weight 1, as the residual ``"pde"`` then has;
            - a strategy and ranges of its options, ``("dn", {"beta": (0.5, 0.999)})``. Options that
              are not searched are in the word, ``"dn:max_weight=100"``.

            A range is a tuple (low, high). Of an option, two integers mean the integers between
            them, unless the option's default is a float; the scale is logarithmic where low is
            above 0 and high at least 100 times low. Instead of a range, a list has choices without
            an order, ``{"average": ["running-mean", "geometric-mean"]}``, and scikit-optimize's own
            ``Real``, ``Integer`` and ``Categorical`` keep their scales and priors. Values are
            rounded to about a thousandth of their range.
        calls: The number of points to train.
        iterations: Iterations of `optimizer` in each run.
        seeds: The number of seeds, which are 0, 1, ...; a call's value is the mean over them.
        jobs: Runs at a time, in processes of their own; -1 for one per core. With more jobs than
            seeds, the search asks for several points at a time, and their sequence is another. At a
            time it asks for no more than the first, spread calls, and then than a fifth of `calls`,
            for the others are to learn from them; more jobs than these points have runs are idle.
            A script that gives more than 1 calls `tune` under ``if __name__ == "__main__":``.
        out: The folder of the records, for one search; it may be that of a comparison of the same
            problem, trained alike.
        optimizer: See :func:`deepxde_balance.compare`, as all that follow but the last.
        lr: The learning rate.
        lbfgs_iterations: Iterations of L-BFGS after that, with the weights kept.
        gradient_engine: See :meth:`deepxde_balance.Model.compile`.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``, ...; by default PyTorch's.
        threads: CPU threads of each run; by default ``OMP_NUM_THREADS``, or, if that is not set,
            the cores are divided among the jobs.
        checkpoint_every: Seconds from one checkpoint of a run to the next.
        random_state: The seed of the search.

    Returns:
        The results. Printed, they are a table of all calls.

    Raises:
        TypeError: As :func:`deepxde_balance.compare`; or if `space` is none, or the strategy has no
            such option.
        ValueError: As :func:`deepxde_balance.compare`; or if `space` is empty, a range is not
            allowed, a group is unknown, or the folder has another search.
        ImportError: If scikit-optimize or the optimizer's package is not installed.
        BlockingIOError: If another process searches into the same folder.
        AllRunsFailedError: If no call has a finite value; it is a RuntimeError.

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
        ...     tuned = ddb.tune(build, {"bc0": (1, 1e3)}, calls=2, iterations=20, out=out)
        >>> tuned.calls[0].loss_weights  # of pde, bc0 and bc1
        [1.0, 1.0, 1.0]
        >>> tuned.value <= tuned.calls[0].value
        True
        >>> model = ddb.Model(*build()[:2])
        >>> model.compile("adam", lr=1e-3, loss_weights=tuned.best, verbose=0)
    """
    if importlib.util.find_spec("skopt") is None:
        raise ImportError('ddb.tune needs scikit-optimize: pip install "deepxde-balance[tune]".')
    calls = positive_int("calls", calls)
    random_state = from_zero("random_state", random_state)
    sweep = UserSweep.checked(
        build,
        iterations,
        seeds,
        jobs,
        out,
        optimizer=optimizer,
        lr=lr,
        lbfgs_iterations=lbfgs_iterations,
        gradient_engine=gradient_engine,
        device=device,
        threads=threads,
        checkpoint_every=checkpoint_every,
    )
    chosen = read_space(space, sweep.groups())
    first = chosen.strategy(next(chosen.corners))
    sweep.check([first])
    run = sweep.runs([first])[0].identity
    settings = {name: value for name, value in run["settings"].items() if name != "strategy"}
    identity = {"problem": run["problem"], "settings": {**settings, "seeds": seeds}}
    path = Path(out) / "search.json"
    with alone(path):
        search = Search(chosen, path, identity, random_state)
        done = _all_calls(search, chosen, sweep, calls)
        if all(math.isnan(call.value) for call in done):
            search.forget()  # what made them fail may be mended
            raise AllRunsFailedError(f"All {len(done)} calls failed. {_reason(done[0])}")
        results = Tuned(done)
        results.save(out)
    return results


def _all_calls(search: Search, space: SearchSpace, sweep: UserSweep, calls: int) -> list[Call]:
    """Asks for points and trains them until there are enough, or no others."""
    seeds = len(sweep.fingerprints)
    done: list[Call] = []
    while len(done) < calls:
        points = search.ask(math.ceil(sweep.at_a_time / seeds), calls - len(done))
        if not points:
            break
        last = len(done) + len(points)
        numbers = f"call {last}" if len(points) == 1 else f"calls {len(done) + 1} to {last}"
        new = _train(points, search.failures(), space, sweep, f"{numbers} of {calls}")
        search.tell(points, [call.value for call in new], [call.failed for call in new])
        done += new
    return done


def _train(
    points: Sequence[Point],
    failures: Sequence[Mapping[int, str]],
    space: SearchSpace,
    sweep: UserSweep,
    title: str,
) -> list[Call]:
    """Trains those runs of the points that have neither a record nor failed before."""
    runs = [sweep.runs([space.strategy(point)]) for point in points]
    known = [dict(failed) for failed in failures[: len(points)]]
    todo = [
        run
        for own, failed in zip(runs, known, strict=True)
        for run in own
        if run.seed not in failed and finished(run, sweep.out) is None
    ]
    new = sweep.train(todo, title) if todo else []
    for own, failed in zip(runs, known, strict=True):
        name = own[0].strategy.name  # a run that comes back from a worker process is a copy
        failed.update({run.seed: reason for run, reason in new if run.strategy.name == name})
    return [
        Call(point, space.loss_weights(point), _records(own, sweep.out, failed), failed)
        for point, own, failed in zip(points, runs, known, strict=True)
    ]


def _records(
    runs: Sequence[UserRun], out: str | os.PathLike[str], failed: Mapping[int, str]
) -> list[UserRecord]:
    return [UserRecord.load(run.record(out)) for run in runs if run.seed not in failed]


def _reason(call: Call) -> str:
    """Why a call has no value."""
    for seed, reason in call.failed.items():
        return f"{call.loss_weights}, seed {seed}: {reason}"
    run = next(run for run in call.runs if run.diverged)
    return f"{call.loss_weights}, seed {run.seed}: its {run.quantity} is {run.score}."
