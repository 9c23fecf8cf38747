"""RBA: residual-based attention."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .. import _checks
from .base import PointState, PointWeighting


class RBA(PointWeighting):
    """Residual-based attention: weights that follow the size of a point's residual (`"rba"`).

    With the inner value v_p, which starts at 0, each iteration sets
    ``v_p = gamma v_p + eta |e_p| / max |e|``, and the weight is w_p = v_p^2 (Anagnostopoulos,
    Toscano, Stergiopulos & Karniadakis 2024, "Residual-based attention in physics-informed neural
    networks"). v_p is below eta / (1 - gamma). The maximum is over the points of one term.

    Args:
        gamma: The decay of the inner value, in [0, 1).
        eta: The rate at which it grows, positive.
        inherit: See :class:`PointWeighting`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> model.compile("adam", lr=1e-3, point_weights=ddb.RBA(eta=0.001), verbose=0)
    """

    residuals_only = True
    drifts = True  # from eta^2 to (eta / (1 - gamma))^2

    def __init__(self, gamma: float = 0.999, eta: float = 0.01, inherit: str | None = None):
        super().__init__(inherit)
        self.gamma = _checks.in_interval("gamma", gamma, 0, 1, "[)")
        self.eta = _checks.in_interval("eta", eta, 0, math.inf, "()")

    def fresh(self, term: int, points: Tensor) -> PointState:
        return {"inner": torch.zeros_like(points[:, 0])}

    @property
    def small_until_second_update(self) -> float | None:
        grown = any(bool(state["inner"].any()) for state in self._state.values())
        return None if grown else self.eta**2

    def weights_of(self, state: PointState) -> Tensor:
        return state["inner"].square()

    def update(self, errors: Mapping[int, Tensor]) -> None:
        for term, of_term in errors.items():
            size = self.magnitude(of_term)
            largest = size.max()
            before = self.state(term)["inner"]
            after = self.gamma * before + self.eta * size / largest
            # An error that is nan or infinite, or errors that are all 0, tell nothing.
            usable = largest.isfinite() & (largest > 0)
            self.set_state(term, {"inner": torch.where(usable, after, before)})
