"""BRDR: weights by the balanced residual decay rate."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .. import _checks
from .base import PointState, PointWeighting

_EPS = 1e-14


class BRDR(PointWeighting):
    """Balanced residual decay rate: more weight where the error falls slowly (`"brdr"`).

    With v_p the bias-corrected moving average of e_p^4, the inverse decay rate of a point is
    d_p = e_p^2 / (sqrt(v_p) + 1e-14). Each iteration sets
    w_p = beta_w w_p + (1 - beta_w) d_p / mean(d), from w_p = 1. The mean is over the points of all
    weighed terms, so that the mean weight stays 1 (Chen, Howard & Stinis 2024, "Self-adaptive
    weights based on balanced residual decay rate").

    The paper also multiplies the whole loss with a factor that adapts the step size. It is not
    part of the point weights, and left out: Adam hardly depends on such a factor.

    Args:
        beta_c: The decay of the average of e_p^4, in [0, 1).
        beta_w: The decay of the weights, in [0, 1).
        inherit: See :class:`PointWeighting`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> model.compile("adam", lr=1e-3, point_weights="brdr", verbose=0)
    """

    def __init__(self, beta_c: float = 0.999, beta_w: float = 0.999, inherit: str | None = None):
        super().__init__(inherit)
        self.beta_c = _checks.in_interval("beta_c", beta_c, 0, 1, "[)")
        self.beta_w = _checks.in_interval("beta_w", beta_w, 0, 1, "[)")

    def fresh(self, term: int, points: Tensor) -> PointState:
        zero = torch.zeros_like(points[:, 0])
        # New points join later: each counts its own updates for the bias correction.
        return {"w": torch.ones_like(zero), "root": zero, "updates": zero.clone()}

    def weights_of(self, state: PointState) -> Tensor:
        return state["w"]

    def update(self, errors: Mapping[int, Tensor]) -> None:
        rates, states = {}, {}
        for term, of_term in errors.items():
            before, squares = self.state(term), self.magnitude(of_term).square()
            updates = before["updates"] + 1
            # The root of the average of e^4: in single precision, e^4 overflows from 4e9 on.
            root = torch.hypot(
                math.sqrt(self.beta_c) * before["root"], math.sqrt(1 - self.beta_c) * squares
            )
            rates[term] = squares / (root / (1 - self.beta_c**updates).sqrt() + _EPS)
            states[term] = {"root": root, "updates": updates}
        mean = torch.cat(list(rates.values())).mean()
        usable = mean.isfinite() & (mean > 0)
        for term, rate in rates.items():
            before = self.state(term)
            after = {"w": self.beta_w * before["w"] + (1 - self.beta_w) * rate / mean}
            after |= states[term]
            self.set_state(
                term, {name: torch.where(usable, after[name], before[name]) for name in before}
            )
