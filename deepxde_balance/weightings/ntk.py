"""Weights from the traces of the neural tangent kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import _checks
from .averages import usable
from .base import FromKernel, Scale


class NTK(FromKernel):
    """lambda_i = sum_j tr K_jj / tr K_ii (`"ntk"`; `"ntk-exact"`).

    Wang, Yu & Perdikaris 2022, algorithm 1: the trace of a diagonal block of the neural tangent
    kernel is the sum of its eigenvalues, the rates at which that loss converges. A group whose
    trace is 0 or not finite keeps its last weight and takes no part in the sum. Covers the
    reference too.

    Args:
        exact: Whether traces are exact, one backward per point, or estimated from sums of the
            errors with random signs (Hutchinson).
        probes: How many such sums an estimate takes the mean of, each with a backward of its
            own. One is cheap and rough: most of a kernel's trace is often one eigenvalue.
        update_every: Iterations from one update to the next.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is out of its range.
        TypeError: If `exact` is not True or False.
    """

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
        self.note_updated(updated)
