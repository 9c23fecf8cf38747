"""Weights from the traces of the neural tangent kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import _checks
from .averages import usable
from .base import Scale
from .kinds import FromKernel


class NTK(FromKernel):
    """lambda_i = sum_j tr K_jj / tr K_ii (`"ntk"`; `"ntk-exact"`).

    Wang, Yu & Perdikaris 2022, algorithm 1. K_ii is the diagonal block of the neural tangent
    kernel that belongs to group i. Its trace is the sum of its eigenvalues, which are the rates at
    which the group's loss converges.

    The reference has such a weight too. A group whose trace is 0 or not finite keeps its last
    weight, and the sum does not include it.

    Args:
        exact: Whether traces are computed exactly, with one backward per point (`"ntk-exact"`), or
            estimated from sums of the errors with random signs (Hutchinson's estimator).
        probes: The number of such sums that an estimate averages; each needs a backward of its
            own. One sum is cheap and rough, for often one eigenvalue is most of the trace.
        update_every: Iterations from one update to the next.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is out of its range.
        TypeError: If `exact` is not True or False.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> model.compile("adam", lr=1e-3, loss_weights=ddb.NTK(probes=4), verbose=0)
    """

    needs_reference = False
    can_drive_on = False  # a kernel does not vanish where a condition is met

    def __init__(
        self,
        exact: bool = False,
        probes: int = 8,
        update_every: int = 100,
        scale: Scale | None = None,
    ):
        super().__init__(update_every, scale)
        if not isinstance(exact, bool):
            raise TypeError(f"exact={exact!r} is not allowed: give True or False.")
        self.exact = exact
        self.probes = _checks.positive_int("probes", probes)

    def update(self, traces: Tensor) -> None:
        total = torch.where(usable(traces), traces, 0.0).sum()
        weights = total / traces
        updated = usable(traces) & usable(weights)
        self.weights = torch.where(updated, weights, self.weights)
        self.note_skipped(~updated)
