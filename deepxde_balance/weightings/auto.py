"""The recommended strategy: weights in the problem's own units, and no condition let go."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _checks
from . import guards
from .averages import usable
from .base import Scale
from .guards import Guard, GuardName
from .kinds import FromLossesAndKernel
from .smoothed_losses import SmoothedLosses

#: Estimates that are averaged at the first update, whose traces set the units of all weights.
_FIRST_PROBES = 32

#: The units of the weights are divided by at most this number.
_LARGEST_SHARE = 100.0


class Auto(FromLossesAndKernel):
    """The strategy that this package recommends (`"auto"`); it needs no hyperparameter.

    It is made of four parts, which are not from a paper:

    - The statistic is the ratio k_i = tr K_rr / tr K_ii of the traces of the neural tangent
      kernel, as in :class:`NTK`: how much faster the residual's errors change with the network's
      parameters than the condition's. No loss is in it, so it is not misled by a residual that is
      small at a wrong solution, or by a condition that is met already.
    - The units are those of the network at `compile`, as a rule untrained, k_i(0). In training the
      ratio grows, often a thousandfold, as the network learns finer features. How far a weight
      should follow differs from problem to problem, so it goes part of the way:
      lambda_i = (h k_i(0))^(1 - power) k_i^power. Here h is 1 as a rule. Where a condition's loss
      times k_i(0) is s times the residual's (the largest losses so far, smoothed; the largest s),
      h is 1 / s, at least 1 / 100: there the conditions are met first, and the residual is what
      takes long.
    - The average is an EMA of log k_i, read every 100 iterations.
    - The guard is :class:`~deepxde_balance.weightings.guards.Growth`, against conditions that are
      let go.

    All weights, the reference's too, have one common factor: at the first update the weighted loss
    is as large as the unweighted one, so that a regularization keeps its meaning. Where the
    residual or a condition is in other units, all weighted losses are the same but for one common
    factor, to which Adam is blind.

    Traces are estimated with random signs (Hutchinson). They need the errors at the points: the
    losses must be those of ``dde.data.PDE`` or of DeepXDE's classes for time-dependent,
    integro-differential and fractional equations. A group whose trace is 0 or not finite keeps its
    last ratio.

    Beside point weights that drift (`"rba"`, `"sa"`), a term's point weights are divided by their
    mean: it would follow the drift part of the way only.

    Args:
        power: How far the weights follow the kernel in training, in [0, 1]: 0 stays with the
            untrained network's units, 1 is the present ratio.
        alpha: Share of the newest reading in the average, in (0, 1].
        update_every: Iterations from one update of the weights to the next.
        traces_every: Updates from one reading of the traces to the next.
        probes: Estimates of the traces that a reading averages, see :class:`NTK`. The first reading
            averages at least 32.
        guard: ``"growth"``, ``"release"``, a :class:`~deepxde_balance.weightings.guards.Guard`, or
            ``None``.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is out of its range.
        TypeError: If `guard` is of the wrong type.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> model.compile("adam", lr=1e-3, loss_weights="auto", verbose=0)
        >>> model.weighting.power
        0.65
    """

    follows_drift = False  # it goes part of the way
    can_drive_on = False  # a kernel does not vanish where a condition is met

    first: Tensor
    rise: Tensor
    factor: Tensor

    def __init__(
        self,
        power: float = 0.65,
        alpha: float = 0.1,
        update_every: int = 10,
        traces_every: int = 10,
        probes: int = 8,
        guard: GuardName | Guard | None = "growth",
        scale: Scale | None = None,
    ):
        super().__init__(update_every, scale)
        self.power = _checks.in_interval("power", power, 0, 1, "[]")
        self.alpha = _checks.in_interval("alpha", alpha, 0, 1, "(]")
        self.traces_every = _checks.positive_int("traces_every", traces_every)
        self.probes = _checks.positive_int("probes", probes)
        self.guard = guards.get(guard)
        self.seen = SmoothedLosses()

    @property
    def strategy(self) -> str:
        guard = [] if self.guard is None else [type(self.guard).__name__]
        return " x ".join([type(self).__name__, *guard])

    def check(self, group_names: Sequence[str]) -> None:
        self.require_condition(group_names)

    def reset(self, num_groups: int, like: Tensor) -> None:
        super().reset(num_groups, like)
        #: log k_i(0), nan before it is known, shape (K - 1,).
        self.register_buffer("first", like.new_full((num_groups - 1,), math.nan))
        #: The average of log k_i since then, less log k_i(0), shape (K - 1,).
        self.register_buffer("rise", like.new_zeros(num_groups - 1))
        self.seen.reset(num_groups, like)
        #: The common factor, nan before it is known, shape ().
        self.register_buffer("factor", like.new_full((), math.nan))
        if self.guard is not None:
            self.guard.reset(num_groups - 1, like)

    def probes_due(self) -> int:
        if self.iteration == 0:
            return max(self.probes, _FIRST_PROBES)
        return self.probes if self.iteration % (self.update_every * self.traces_every) == 0 else 0

    def take_traces(self, traces: Tensor) -> None:
        ratios = traces[0] / traces[1:]
        included = usable(ratios)
        logs = torch.where(included, ratios, 1.0).log()
        known = self.first.isfinite()
        moved = torch.lerp(self.rise, logs - self.first, self.alpha)
        self.rise = torch.where(included & known, moved, self.rise)
        self.first = torch.where(included & ~known, logs, self.first)
        newly_known = (included & ~known).any()
        self.factor = torch.where(newly_known, torch.nan, self.factor)  # set anew at the update
        self.note_skipped(~usable(traces))

    def update(self, losses: Tensor) -> None:
        finite = losses.isfinite().all()
        self.seen(torch.where(finite, losses, torch.nan))
        conditions = self._balanced()
        if self.guard is not None:
            conditions = self.guard(conditions, losses)
        weights = torch.cat([torch.ones_like(losses[:1]), conditions])
        factor = losses.sum() / (weights * losses).sum()
        self.factor = torch.where(usable(self.factor), self.factor, factor)
        weights = torch.where(usable(self.factor), self.factor, 1.0) * weights
        self.weights = torch.where(finite, weights, self.weights)

    def _balanced(self) -> Tensor:
        """The conditions' weights without the guard, the reference's being 1, shape (K - 1,)."""
        untrained = torch.where(self.first.isfinite(), self.first, 0.0).exp()
        largest = self.seen.largest()
        shares = untrained * largest[1:] / largest[0]
        units = untrained / shares.nan_to_num(nan=1.0).amax().clamp(1.0, _LARGEST_SHARE)
        present = untrained * self.rise.exp()
        return units ** (1 - self.power) * present**self.power

    def extra_repr(self) -> str:
        names = ("power", "alpha", "update_every", "traces_every", "probes")
        guard = ", guard=None" if self.guard is None else ""
        return ", ".join(f"{name}={getattr(self, name)}" for name in names) + guard
