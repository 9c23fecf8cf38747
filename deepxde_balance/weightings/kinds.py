"""The kinds of weightings: from which to derive a strategy, by what its update reads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .base import Reads, Weighting
from .group_gradients import GroupGradients


class FromGradients(Weighting):
    """Base class of strategies that read the losses and gradients of an iteration.

    Derive from it to write a strategy of your own. The weights are checked as in
    :class:`FromLosses`.

    Args:
        update_every: See :class:`~deepxde_balance.weightings.Weighting`.
        scale: See :class:`~deepxde_balance.weightings.Weighting`.

    Example:
        >>> import deepxde_balance as ddb
        >>> class LevelNorms(ddb.FromGradients):
        ...     def update(self, losses, gradients):
        ...         norms = gradients.norm(2)
        ...         self.weights = norms[0] / norms
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> weighting = LevelNorms(update_every=10)
        >>> model.compile("adam", lr=1e-3, loss_weights=weighting, verbose=0)
    """

    reads = Reads.GRADIENTS

    @abstractmethod
    def update(self, losses: Tensor, gradients: GroupGradients) -> None:
        """Sets `weights` from one iteration's losses and gradients.

        Args:
            losses: Unweighted group losses, shape (K,), the reference first; detached.
            gradients: Gradients of these losses with respect to the network's parameters, one
                row per group, detached. See
                :class:`~deepxde_balance.weightings.group_gradients.GroupGradients`.
        """


class FromLosses(Weighting):
    """Base class of strategies that read the losses alone.

    An iteration then costs as much as with equal weights, for no group's gradient is computed.

    Derive from it to write a strategy of your own. `update` sets `self.weights` to a tensor of one
    weight per group, finite and not negative. Any other weight raises a RuntimeError that names
    the strategy, the group and the iteration. It comes when DeepXDE next records the losses
    (every `display_every` iterations), for a check in every update would wait for the GPU.

    Args:
        update_every: See :class:`~deepxde_balance.weightings.Weighting`.
        scale: See :class:`~deepxde_balance.weightings.Weighting`.

    Example:
        >>> import deepxde_balance as ddb
        >>> class InverseLosses(ddb.FromLosses):
        ...     def update(self, losses):
        ...         self.weights = losses.mean() / losses
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> weighting = InverseLosses(update_every=100)
        >>> model.compile("adam", lr=1e-3, loss_weights=weighting, verbose=0)
    """

    reads = Reads.LOSSES

    @abstractmethod
    def update(self, losses: Tensor) -> None:
        """Sets `weights` from one iteration's losses.

        Args:
            losses: Unweighted group losses, shape (K,), the reference first; detached.
        """


class FromKernel(Weighting):
    """Base class of strategies that read the traces of the neural tangent kernel."""

    reads = Reads.KERNEL_TRACES

    #: Whether traces are computed exactly, or estimated with random signs.
    exact: bool
    #: The number of estimates that are averaged.
    probes: int

    @abstractmethod
    def update(self, traces: Tensor) -> None:
        """Sets `weights` from one iteration's traces.

        Args:
            traces: tr K_ii / N_i of each group, the reference first, shape (K,): the mean of
                ||d e_p / d theta||^2 over the points p, added up over the group's terms.
        """


class FromLossesAndKernel(Weighting):
    """Base class of strategies that read the losses, and more rarely the kernel's traces.

    Attributes:
        exact: Whether traces are computed exactly, see :class:`FromKernel`.
    """

    reads = Reads.LOSSES_AND_TRACES
    exact = False

    @abstractmethod
    def probes_due(self) -> int:
        """The number of estimates to average for the coming update; 0 if it reads no traces."""

    @abstractmethod
    def take_traces(self, traces: Tensor) -> None:
        """Takes the traces of the coming update's iteration.

        Args:
            traces: As for :meth:`FromKernel.update`.
        """

    @abstractmethod
    def update(self, losses: Tensor) -> None:
        """Sets `weights` from one iteration's losses.

        Args:
            losses: Unweighted group losses, shape (K,), the reference first; detached.
        """


class FromPointErrors(Weighting):
    """Base class of strategies with one weight per point, which are inside the losses.

    `weights` shows one number per group all the same.
    """

    reads = Reads.POINT_ERRORS

    @property
    def group_multipliers(self) -> Tensor:
        return torch.ones_like(self.weights)

    @abstractmethod
    def number(self, term: int) -> int | None:
        """The number of a term's weights; ``None`` before it has any."""

    @abstractmethod
    def start(self, term: int, number: int, residual: bool) -> None:
        """Sets the first weights of a term's points.

        Args:
            term: The term's position.
            number: The number of the term's points N (of errors, where two points share one).
            residual: Whether the term is a PDE residual.
        """

    @abstractmethod
    def carry_over(self, term: int, old: Tensor, residual: bool) -> None:
        """Gives the new points of a term their weights.

        Args:
            term: The term's position.
            old: For each new point its position among the old points, -1 if it was not one of
                them, shape (N,).
            residual: Whether the term is a PDE residual.
        """

    @abstractmethod
    def point_state(self, term: int) -> dict[str, Tensor]:
        """The state of a term's points by name, each of shape (N,)."""

    @abstractmethod
    def set_point_state(self, term: int, state: dict[str, Tensor]) -> None:
        """Replaces the state of a term's points, perhaps by that of another number of points."""

    @abstractmethod
    def loss(self, term: int, errors: Tensor) -> Tensor:
        """A term's loss with the weights of its points, shape ().

        Args:
            term: The term's position.
            errors: The term's errors, shape (N,) or (N, components).
        """

    @abstractmethod
    def ascend(
        self,
        errors: Mapping[int, Tensor],
        factors: Mapping[int, float],
        members: Sequence[Sequence[int]],
    ) -> None:
        """Updates the weights after a step of the network.

        Args:
            errors: The errors by term, as they were before the step.
            factors: The static factor of each term, by position.
            members: The terms of each group.
        """
