"""GW, DN and DB: each is a statistic, an allocation and an average."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import _checks
from . import allocations, averages, guards, statistics
from .allocations import Allocation, AllocationName
from .averages import EMA, Average, AverageName, BiasCorrectedEMA
from .base import Scale
from .group_gradients import GroupGradients
from .guards import Guard, GuardName
from .kinds import FromGradients
from .statistics import Norm, Statistic, StatisticName


class GradientWeighting(FromGradients):
    """Weights from gradient statistics, which compare each condition with the reference.

    An update has three steps. The statistic gives each condition a ratio. The allocation makes
    instantaneous weights from the ratios. The average makes the weights to apply from the
    instantaneous weights of all updates so far.

    The weight of the reference is always 1. A condition whose statistic is 0, infinite or nan
    keeps its last weight in that update. If a loss is not finite, no weight is updated.

    Args:
        statistic: ``"mean"``, ``"std"``, ``"kurtosis"``, ``"norm"`` or a
            :class:`~deepxde_balance.weightings.statistics.Statistic`.
        allocation: ``"pairwise"``, ``"average"``, ``"difficulty"`` or an
            :class:`~deepxde_balance.weightings.allocations.Allocation`.
        average: ``"ema"``, ``"bias-corrected-ema"``, ``"running-mean"``, ``"geometric-mean"`` or
            an :class:`~deepxde_balance.weightings.averages.Average`, e.g. ``ddb.EMA(0.5)``.
        update_every: Iterations from one update to the next (tau in Deguchi & Asai 2023).
        max_weight: Upper bound of the instantaneous weights and of the weights, at least 1.
        scale: Static factors on the losses, see :class:`Weighting`.
        min_weight: Lower bound of the instantaneous weights and of the weights, in (0, 1]. With 1,
            no condition counts less than with equal weights. This bound is not in the papers; it
            is for problems whose residual is small from the start.
        guard: ``"growth"``, ``"release"``, a :class:`~deepxde_balance.weightings.guards.Guard`, or
            ``None``, as in the papers. It multiplies the averaged weights, within the bounds; the
            averages go on without its factors.

    Raises:
        ValueError: If an argument is out of its range or a name is unknown.
        TypeError: If an argument is of the wrong type.

    Example:
        DB without its difficulty index, an ablation of Zhou et al. 2025:

        >>> import deepxde_balance as ddb
        >>> weighting = ddb.GradientWeighting("kurtosis", "pairwise", "running-mean")
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> model.compile("adam", lr=1e-3, loss_weights=weighting, verbose=0)
    """

    can_let_go = True

    #: The averaged weights of the conditions without the guard's factors, if there is a guard.
    unguarded: Tensor

    def __init__(
        self,
        statistic: StatisticName | Statistic,
        allocation: AllocationName | Allocation,
        average: AverageName | Average,
        update_every: int = 100,
        max_weight: float | None = None,
        scale: Scale | None = None,
        min_weight: float | None = None,
        guard: GuardName | Guard | None = None,
    ):
        super().__init__(update_every, scale)
        self.statistic = statistics.get(statistic)
        self.allocation = allocations.get(allocation)
        self.average = averages.get(average)
        self.max_weight = _checks.max_weight(max_weight)
        self.min_weight = _checks.min_weight(min_weight)
        self.guard = guards.get(guard)

    @property
    def strategy(self) -> str:
        parts = [self.allocation, self.average, *([] if self.guard is None else [self.guard])]
        return " x ".join([repr(self.statistic), *(type(part).__name__ for part in parts)])

    def reset(self, num_groups: int, like: Tensor) -> None:
        super().reset(num_groups, like)
        self.allocation.reset(num_groups - 1, like)
        self.average.reset(num_groups - 1, like)
        if self.guard is not None:
            self.register_buffer("unguarded", like.new_ones(num_groups - 1))
            self.guard.reset(num_groups - 1, like)

    def check(self, group_names: Sequence[str]) -> None:
        self.require_condition(group_names)
        if len(group_names) == 2 and isinstance(self.allocation, allocations.Difficulty):
            warnings.warn(
                f"There is one condition group ({group_names[1]!r}), so there is nothing to "
                "balance between conditions: its share is always 1. Split the condition by "
                "boundary with deepxde_balance.split_bc (inner-balancing).",
                stacklevel=2,
            )

    def update(self, losses: Tensor, gradients: GroupGradients) -> None:
        weights = self.weights[1:] if self.guard is None else self.unguarded
        ratios = self.statistic(gradients, weights)
        ratios = ratios + (losses - losses).sum()  # nan if a loss is not finite, else unchanged
        ratios = ratios.nan_to_num(0.0, 0.0, 0.0).relu()
        instantaneous = self._bounded(self.allocation(ratios, losses[1:]))
        self.note_skipped(~(instantaneous > 0))
        averaged = self._bounded(self.average(weights, instantaneous))
        if self.guard is not None:
            self.unguarded = averaged
            averaged = self._bounded(self.guard(averaged, losses))
        self.weights = torch.cat([self.weights[:1], averaged])

    def _bounded(self, weights: Tensor) -> Tensor:
        if self.max_weight is not None:
            weights = weights.clamp(max=self.max_weight)
        if self.min_weight is not None:  # 0 and nan mark a group that is left out: no bound
            weights = torch.where(weights > 0, weights.clamp(min=self.min_weight), weights)
        return weights

    def extra_repr(self) -> str:
        bounds = {"max_weight": self.max_weight, "min_weight": self.min_weight}
        given = [f", {name}={bound}" for name, bound in bounds.items() if bound is not None]
        return f"{self.statistic}, update_every={self.update_every}{''.join(given)}"


class GW(GradientWeighting):
    """Weights from a gradient statistic of each condition alone, smoothed by an EMA (GW-PINN).

    ``GW("mean")`` is the learning-rate annealing of Wang et al. 2021 ("MA-PINN"), ``GW("std")``
    the inverse-Dirichlet weighting of Maddu et al. 2022 ("ID-PINN"), ``GW("kurtosis")`` the
    weighting of Vemuri & Denzler 2023.

    Args:
        statistic: ``"mean"``, ``"std"``, ``"kurtosis"``, ``"norm"`` or a
            :class:`~deepxde_balance.weightings.statistics.Statistic`.
        alpha: Share of the newest weights in the EMA, in (0, 1].
        update_every: Iterations from one update to the next.
        max_weight: Upper bound of the weights, at least 1; ``None`` for none.
        scale: Static factors on the losses before they are weighed: one number per loss term, or a
            mapping from names to factors, ``{"bc0": 100}``.
        min_weight: Lower bound of the weights, in (0, 1]; ``None`` for none. With 1, no condition
            counts less than with equal weights.
        guard: ``"growth"`` raises weights of conditions that are let go, ``"release"`` lowers those
            of conditions that are met; ``None`` for neither, as in the paper.

    Raises:
        ValueError, TypeError: As :class:`GradientWeighting`.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> model.compile("adam", lr=1e-3, loss_weights=ddb.GW("std", alpha=0.5), verbose=0)
    """

    def __init__(
        self,
        statistic: StatisticName | Statistic,
        alpha: float = 0.1,
        update_every: int = 100,
        max_weight: float | None = None,
        scale: Scale | None = None,
        min_weight: float | None = None,
        guard: GuardName | Guard | None = None,
    ):
        super().__init__(
            statistic, "pairwise", EMA(alpha), update_every, max_weight, scale, min_weight, guard
        )


class DN(GradientWeighting):
    """Dynamic normalisation: the ratio of gradient norms (DN-PINN, Deguchi & Asai 2023).

    Args:
        p: Order of the norm: 1, 2 or ``math.inf`` (eqs. 22, 38).
        beta: Share of the older weights, in [0, 1) (eq. 23).
        bias_correction: Whether the average starts from 0 and is corrected for that (eq. 26), or
            starts from weight 1 (eq. 23).
        update_every: Iterations from one update to the next (tau).
        max_weight: Upper bound of the weights, at least 1; ``None`` for none.
        scale: Static factors on the losses before they are weighed: one number per loss term, or a
            mapping from names to factors, ``{"bc0": 100}``.
        min_weight: Lower bound of the weights, in (0, 1]; ``None`` for none. With 1, no condition
            counts less than with equal weights.
        guard: ``"growth"`` raises weights of conditions that are let go, ``"release"`` lowers those
            of conditions that are met; ``None`` for neither, as in the paper.

    Raises:
        ValueError, TypeError: As :class:`GradientWeighting`.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> model.compile("adam", lr=1e-3, loss_weights=ddb.DN(beta=0.9), verbose=0)
    """

    def __init__(
        self,
        p: float = 2,
        beta: float = 0.99,
        bias_correction: bool = True,
        update_every: int = 10,
        max_weight: float | None = None,
        scale: Scale | None = None,
        min_weight: float | None = None,
        guard: GuardName | Guard | None = None,
    ):
        average = BiasCorrectedEMA(beta)  # also checks beta
        super().__init__(
            Norm(p),
            "pairwise",
            average if bias_correction else EMA(1 - beta),
            update_every,
            max_weight,
            scale,
            min_weight,
            guard,
        )


class DB(GradientWeighting):
    """Dual balancing: the sum of the ratios, shared out by difficulty (DB-PINN).

    Zhou et al. 2025, algorithm 1. Their inter-balancing is the statistic, their intra-balancing
    the difficulty allocation, their average the running mean.

    Args:
        statistic: ``"mean"``, ``"std"``, ``"kurtosis"``, ``"norm"`` or a
            :class:`~deepxde_balance.weightings.statistics.Statistic`.
        average: ``"running-mean"``, ``"geometric-mean"``, ``"ema"``, ``"bias-corrected-ema"`` or an
            :class:`~deepxde_balance.weightings.averages.Average`, e.g. ``ddb.EMA(0.5)``. A
            strategy's word writes the latter as ``"db-mean:average=ema:alpha=0.5"``.
        update_every: Iterations from one update to the next.
        max_weight: Upper bound of the weights, at least 1; ``None`` for none.
        scale: Static factors on the losses before they are weighed: one number per loss term, or a
            mapping from names to factors, ``{"bc0": 100}``.
        min_weight: Lower bound of the weights, in (0, 1]; ``None`` for none. With 1, no condition
            counts less than with equal weights.
        guard: ``"growth"`` raises weights of conditions that are let go, ``"release"`` lowers those
            of conditions that are met; ``None`` for neither, as in the paper.
        allocation: ``"difficulty"``, or one of the paper's ablations (sec. 4.4): ``"average"``
            (equal shares of the sum) or ``"pairwise"`` (each condition its own ratio). Or an
            :class:`~deepxde_balance.weightings.allocations.Allocation`.

    Raises:
        ValueError, TypeError: As :class:`GradientWeighting`.

    Example:
        >>> import deepxde_balance as ddb
        >>> problem = ddb.problems.get("klein-gordon", points=0.01)
        >>> model = problem.model(ddb.DB("kurtosis", update_every=10), verbose=0)
        >>> model.weights
        {'pde': 1.0, 'bc': 1.0, 'ic': 1.0}
    """

    def __init__(
        self,
        statistic: StatisticName | Statistic,
        average: AverageName | Average = "running-mean",
        update_every: int = 100,
        max_weight: float | None = None,
        scale: Scale | None = None,
        min_weight: float | None = None,
        guard: GuardName | Guard | None = None,
        allocation: AllocationName | Allocation = "difficulty",
    ):
        super().__init__(
            statistic, allocation, average, update_every, max_weight, scale, min_weight, guard
        )
