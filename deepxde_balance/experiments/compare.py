"""Compares strategies on a user's own problem."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..gradients.choose import EngineName
from .comparison import Comparison
from .run import finished
from .strategies import StrategyGiven, named
from .user_record import UserRecord
from .user_run import UserRun, label
from .user_sweep import AllRunsFailedError, UserSweep


def compare(
    build: Callable[[], Any],
    strategies: Iterable[StrategyGiven],
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
              `loss`, `metrics`, `decay`, `external_trainable_variables`, `loss_groups`,
              `term_names`, `points_per_pass`, and `point_weights`, which all strategies then have;
            - ``"solution"``: a function from points (N, d) to the solution's values (N, k);
            - ``"points"``: the points to compare at; by default the test points, or the residual
              points where there are no others;
            - ``"metric"``: a function from the model to a number, the smaller the better. It is
              used instead of the solution. An object may have it as its method `error`;
            - ``"callbacks"``: a list of callbacks. Runs have checkpoints by themselves; those of a
              ``ModelCheckpoint`` here would be of the same name in all runs, and with more than one
              job the later run fails.

        strategies: Names, words with parameters like ``"dn:beta=0.9"``, and weighting objects.
            After a plus sign, a word may name point weights: ``"auto+brdr"``,
            ``"equal+causal:chunks=16"``. So does a pair of words or objects:
            ``(ddb.DN(), ddb.RBA(eta=0.001))``. Fixed weights are a list with a number for each loss
            term, ``[1, 100, 10]``, a mapping from names of terms, ``{"bc0": 100}``, or words of
            these, ``"1,100,10"`` and ``"bc0=100"``; they don't share weights by `loss_groups`.
        iterations: Iterations of `optimizer`.
        seeds: The number of seeds, which are 0, 1, ...
        jobs: Runs at a time, in processes of their own; -1 for one per core. A script that gives
            more than 1 calls `compare` under ``if __name__ == "__main__":``.
        out: The folder of the records, for one problem.
        optimizer: ``"adam"``, ``"adamw"``, ``"rmsprop"``, ``"sgd"`` or ``"soap"``. SOAP needs
            pytorch-optimizer, has that package's defaults but for the weight decay, which is the
            network's L2 regularization, and is mostly used with lr=3e-3.
        lr: The learning rate.
        lbfgs_iterations: Iterations of L-BFGS after that, with the weights kept, those of points,
            too.
        gradient_engine: See :meth:`deepxde_balance.Model.compile`.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``, ...; by default PyTorch's.
        threads: CPU threads of each run; by default ``OMP_NUM_THREADS``, or, if that is not set,
            the cores are divided among the jobs.
        checkpoint_every: Seconds from one checkpoint of a run to the next.

    Returns:
        The results. Printed, they are a table.

    Raises:
        TypeError: If `build` can't be called without arguments or returns something else, its
            metric gives no number, a strategy is neither a name nor a weighting object nor numbers,
            or `out` is no path.
        ValueError: If an argument is out of its range, a strategy is unknown, there twice or can't
            balance this problem, `build` gives another network for the same seed, or the folder
            has runs with other settings or of another problem.
        ImportError: If the optimizer's package is not installed.
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
    chosen = named(strategies)
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
    sweep.check(chosen)
    runs = sweep.runs(chosen)
    failed = sweep.train([run for run in runs if finished(run, out) is None])
    if failed and len(failed) == len(runs):
        raise AllRunsFailedError(f"All runs failed. {label(failed[0][0])}: {failed[0][1]}")
    return _results(runs, failed, out)


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
