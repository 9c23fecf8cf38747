"""CAPU: conditions as constraints of an augmented Lagrangian."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _checks
from .base import Scale
from .kinds import FromLosses

#: Keeps a penalty finite where a condition has always been met.
_EPSILON = 1e-16


class CAPU(FromLosses):
    """Weights of an augmented Lagrangian whose penalties adapt to each condition (`"capu"`).

    Hu, Basir & Senocak 2026, "Conditionally adaptive penalty update" (PECANN-CAPU). The residual's
    loss L_r is the objective, each condition group's loss C_i is a constraint C_i = 0, with a
    multiplier m_i and a penalty p_i, both 1 at the start. Training minimises

        A = L_r + sum_i (m_i C_i + p_i C_i^2 / 2),

    so that the weight of group i is m_i + p_i C_i. At every update

        v_i = zeta v_i + (1 - zeta) C_i^2, from v_i = 0,

    and if A has not fallen below omega times its value at the update before,

        m_i = m_i + p_i C_i, then p_i = max(p_i, eta / sqrt(v_i)).

    Weights of conditions never fall: no condition is let go. From losses that are not finite
    nothing is updated. The reference keeps weight 1.

    Args:
        eta: Size of the penalties, positive: the weight grows by about `eta` at each step of the
            multipliers. It has the unit of a weight: the residual's loss over the conditions'.
        zeta: Share of the older squares in v_i, in [0, 1).
        omega: The multipliers wait while A falls below this share of its last value, in (0, 1].
        update_every: Iterations from one update to the next; 1 in the paper.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import deepxde_balance as ddb
        >>> ddb.CAPU(eta=0.01).eta
        0.01
    """

    multipliers: Tensor
    penalties: Tensor
    mean_squares: Tensor
    last_value: Tensor

    def __init__(
        self,
        eta: float = 1.0,
        zeta: float = 0.99,
        omega: float = 0.999,
        update_every: int = 1,
        scale: Scale | None = None,
    ):
        super().__init__(update_every, scale)
        self.eta = _checks.in_interval("eta", eta, 0, math.inf, "()")
        self.zeta = _checks.in_interval("zeta", zeta, 0, 1, "[)")
        self.omega = _checks.in_interval("omega", omega, 0, 1, "(]")

    def check(self, group_names: Sequence[str]) -> None:
        if len(group_names) < 2:
            raise ValueError(
                f"{type(self).__name__} has no constraint: there is no condition, only the "
                'reference. Use loss_weights="equal".'
            )

    def reset(self, num_groups: int, like: Tensor) -> None:
        super().reset(num_groups, like)
        self.register_buffer("multipliers", like.new_ones(num_groups - 1))
        self.register_buffer("penalties", like.new_ones(num_groups - 1))
        self.register_buffer("mean_squares", like.new_zeros(num_groups - 1))
        self.register_buffer("last_value", like.new_full((), math.inf))

    def update(self, losses: Tensor) -> None:
        finite = losses.isfinite().all()
        constraints = torch.where(finite, losses[1:], 0.0)
        mean_squares = torch.lerp(constraints.square(), self.mean_squares, self.zeta)
        value = losses[0] + self._of_constraints(constraints)
        stagnates = finite & (value >= self.omega * self.last_value)

        multipliers = self.multipliers + self.penalties * constraints
        penalties = torch.maximum(self.penalties, self.eta / (mean_squares + _EPSILON).sqrt())
        self.multipliers = torch.where(stagnates, multipliers, self.multipliers)
        self.penalties = torch.where(stagnates, penalties, self.penalties)
        self.mean_squares = torch.where(finite, mean_squares, self.mean_squares)
        self.last_value = torch.where(finite, value, self.last_value)

        weights = self.multipliers + self.penalties * constraints
        weights = torch.cat([torch.ones_like(losses[:1]), weights])
        self.weights = torch.where(finite, weights, self.weights)

    def _of_constraints(self, constraints: Tensor) -> Tensor:
        """What the constraints add to the augmented Lagrangian."""
        return (self.multipliers * constraints + self.penalties * constraints.square() / 2).sum()
