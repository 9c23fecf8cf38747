"""The base of the gradient engines, which compute losses of terms and gradients of groups."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import Any, NamedTuple

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .._deepxde.batch import Batch
from ..terms.groups import TermGroups
from ..weightings.group_gradients import GroupGradients


class Parameters(NamedTuple):
    """The tensors that a compiled model trains.

    Args:
        network: The network's parameters that the optimizer trains, each once.
        external: Trainable variables outside the network: the unknowns of an inverse problem.
    """

    network: list[Tensor]
    external: list[Tensor]

    @property
    def all(self) -> list[Tensor]:
        """The network's parameters, then the external variables."""
        return [*self.network, *self.external]


#: A function that replaces the loss functions: from the errors of all terms, by position and one
#: per point, to a scalar for each term.
Measure = Callable[[Mapping[int, Tensor]], Mapping[int, Tensor]]


class LinearMeasure:
    """A measure whose derivatives by the errors do not depend on the errors.

    Args:
        function: The measure.
    """

    def __init__(self, function: Measure):
        self._function = function

    def __call__(self, errors: Mapping[int, Tensor]) -> Mapping[int, Tensor]:
        """The values of all terms; a :data:`Measure`."""
        return self._function(errors)


class Measured(NamedTuple):
    """What a :class:`StatefulMeasure` makes of the errors.

    Args:
        losses: The loss of every term, by position.
        changed: The tensors that the measure changes, as they are after it.
        errors: The errors that the measure reads later in the iteration, by term.
    """

    losses: Mapping[int, Tensor]
    changed: Sequence[Tensor]
    errors: Mapping[int, Tensor]


class StatefulMeasure(ABC):
    """A measure with tensors of its own, which the first evaluation in an iteration changes.

    A call changes them. :meth:`measured` is the same as a function of tensors alone, which can be
    compiled: it leaves them as they are, and :meth:`take` puts its results in their place.
    """

    @abstractmethod
    def __call__(self, errors: Mapping[int, Tensor]) -> Mapping[int, Tensor]:
        """The losses of all terms; a :data:`Measure`."""

    @abstractmethod
    def tensors(self) -> list[Tensor]:
        """The tensors that :meth:`measured` reads besides the errors, in an order that stays.

        One of them tells whether this is the first evaluation in the iteration.
        """

    @abstractmethod
    def measured(self, errors: Mapping[int, Tensor]) -> Measured:
        """The losses of all terms, and what a call would change.

        Raises:
            ValueError: If a call would change more than tensors.
        """

    @abstractmethod
    def settings(self) -> list[Any]:
        """The objects whose public attributes :meth:`measured` reads besides tensors."""

    @abstractmethod
    def take(self, changed: Sequence[Tensor], errors: Mapping[int, Tensor]) -> None:
        """Takes what :meth:`measured` gave, if this is the first evaluation in the iteration."""


class IterationGradients(NamedTuple):
    """Losses and gradients of one iteration.

    A row stands for a group, the last one perhaps for the unweighted terms
    (:attr:`~deepxde_balance.terms.groups.TermGroups.rows`).

    Args:
        losses: Unweighted, unscaled loss of every term, shape (number of terms,), detached.
        values: Gradient of each row's loss, shape (rows, P + E): P entries of the network's
            parameters, then E of the external variables. An entry is 0 where the loss does not
            depend on the parameter.
        used: Whether each row's loss depends on each entry of the network's parameters, shape
            (rows, P); ``None`` if every loss depends on all.
        parameters: The parameters, in the order of the columns.
        reached: For each parameter whether any row's loss depends on it.
    """

    losses: Tensor
    values: Tensor
    used: Tensor | None
    parameters: Parameters
    reached: tuple[bool, ...]

    def of_network(self, num_groups: int) -> GroupGradients:
        """The gradients that statistics run over: those with respect to the network's parameters.

        Args:
            num_groups: The number of groups, which are the first rows.
        """
        width = sum(p.numel() for p in self.parameters.network)
        if not width:  # the whole network is frozen
            return GroupGradients(self.values.new_zeros(num_groups, 1))
        values = self.values
        if values.shape != (num_groups, width):
            values = values[:num_groups, :width]
        if self.used is None:
            return GroupGradients(values)
        return GroupGradients(values, *_first_rows(self.used, num_groups, values.dtype))


class GradientEngine(ABC):
    """Computes losses and per-group gradients of a DeepXDE model.

    Args:
        model: A compiled ``dde.Model``.
        groups: The groups of its terms; a row's loss is the sum over its terms, scaled.
        scale: One static factor per term.
    """

    def __init__(self, model: dde.Model, groups: TermGroups, scale: Sequence[float]):
        self.model = model
        self.groups = groups
        self.scale = tuple(scale)
        #: The optimizer and its number of parameters, for which `_known` was found.
        self._trained_by: tuple[Any, int] = (None, 0)
        self._known = Parameters([], [])

    @property
    @abstractmethod
    def name(self) -> str:
        """The engine that is used, by its name in `compile`."""

    @property
    def prefers_gradients(self) -> bool:
        """Whether `gradients` is faster than `losses` and a backward of their weighted sum."""
        return False

    @property
    def points_per_pass(self) -> int | None:
        """The largest number of points that go through the network together; ``None`` for all."""
        return None

    def begin(self, last_step: int | None = None) -> None:  # noqa: B027 - nothing to do is the rule
        """Called when training begins: the model may have changed since the last training.

        Args:
            last_step: The value of `model.train_state.step` when the training ends; ``None`` if it
                is unknown.
        """

    def iteration(self, batch: Batch, measure: Measure | None) -> AbstractContextManager[None]:
        """The context of the evaluations in one step of the optimizer.

        Args:
            batch: The points.
            measure: What the evaluations are given, see :meth:`losses`.
        """
        return nullcontext()

    def confirm(self) -> None:  # noqa: B027 - nothing to confirm is the rule
        """Called at the last record of a training and at its end, to check what was computed.

        Raises:
            RuntimeError: If losses and gradients were not those of the model.
        """

    @abstractmethod
    def losses(self, batch: Batch, measure: Measure | None = None) -> list[Tensor]:
        """The unweighted, unscaled loss of every term, differentiable in the parameters.

        Args:
            batch: The points.
            measure: Replaces the terms' loss functions. Only for ``dde.data.PDE``, whose terms
                have one error per point.
        """

    @abstractmethod
    def gradients(self, batch: Batch, measure: Measure | None = None) -> IterationGradients:
        """The losses of all terms, and the gradients of all rows of the groups.

        Args:
            batch: The points.
            measure: See :meth:`losses`.
        """

    def outputs_losses(self, batch: Batch, training: bool) -> tuple[Tensor, Tensor] | None:
        """The network's outputs and the losses at training or test points, for a record.

        Args:
            batch: The points.
            training: Whether the network is to be in training mode.

        Returns:
            The outputs, and the losses of all terms, both without gradients; ``None`` where the
            points are not divided into passes, or are test points of other conditions.
        """
        return None

    def errors_in_turn(
        self, batch: Batch, weigh: Measure | None = None
    ) -> Iterator[Mapping[int, Tensor]]:
        """The errors of all terms, differentiable in the parameters, some after the others.

        Args:
            batch: The points.
            weigh: From the errors of all terms to errors times factors, which are returned then.
        """
        errors: dict[int, Tensor] = {}

        def collect(given: Mapping[int, Tensor]) -> dict[int, Tensor]:
            errors.update(given if weigh is None else weigh(given))
            return {i: of_term.sum() for i, of_term in errors.items()}

        self.losses(batch, collect)
        yield errors

    def own_errors(self, term: int, errors: Tensor) -> Tensor:
        """Of a term's errors that a measure was given, those that are computed by this process.

        Args:
            term: The term's position.
            errors: Its errors.
        """
        return errors

    def add_up(self, sums: Tensor) -> Tensor:
        """The sum of a tensor over the processes that train together, each with its own errors."""
        return sums

    def parameters(self) -> Parameters:
        """The parameters that are trained now.

        A parameter of the network that the optimizer does not have is left out, as a frozen one is.

        Raises:
            RuntimeError: If there are none.
        """
        optimizer = self.model.opt
        count = sum(len(group["params"]) for group in optimizer.param_groups)
        if self._trained_by[0] is not optimizer or self._trained_by[1] != count:
            self._trained_by = (optimizer, count)
            trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
            network = [p for p in self.model.net.parameters() if id(p) in trained]
            self._known = Parameters(network, external_variables(self.model))
        now = Parameters(*([p for p in known if p.requires_grad] for known in self._known))
        if not now.all:
            raise RuntimeError(
                "There is nothing to train: every parameter of the network and every external "
                "variable is frozen, or not in the optimizer."
            )
        return now

    def row_losses(self, losses: Sequence[Tensor]) -> list[Tensor]:
        """The scaled sum of each row's losses; 0 for a row without terms."""
        return [
            self.scaled_sum(losses, row) if row else torch.zeros_like(losses[0])
            for row in self.groups.rows
        ]

    def scaled_sum(
        self, losses: Sequence[Tensor] | Mapping[int, Tensor], terms: Sequence[int]
    ) -> Tensor:
        """The sum of some terms' losses, each times its static factor."""
        scaled = [losses[i] if self.scale[i] == 1 else self.scale[i] * losses[i] for i in terms]
        return scaled[0] if len(scaled) == 1 else torch.stack(scaled).sum()


def external_variables(model: dde.Model) -> list[Tensor]:
    """The trainable variables outside the network: the unknowns of an inverse problem."""
    network = {id(p) for p in model.net.parameters()}
    trained = [p for group in model.opt.param_groups for p in group["params"]]
    variables = {id(v): v for v in (*model.external_trainable_variables, *trained)}
    return [v for i, v in variables.items() if i not in network]


@contextmanager
def without_hooks(parameters: Sequence[Tensor]) -> Iterator[None]:
    """Disables the parameters' hooks in the context, as for the gradient of a single group."""
    hooked = [(p, p._backward_hooks) for p in parameters if p._backward_hooks]
    for p, _ in hooked:
        p._backward_hooks = None
    try:
        yield
    finally:
        for p, hooks in hooked:
            p._backward_hooks = hooks


def grad(
    losses: Sequence[Tensor], parameters: list[Tensor], retain_graph: bool
) -> Sequence[Tensor | None]:
    """The gradient of the sum of the losses; ``None`` for a parameter that no loss depends on."""
    losses = [loss for loss in losses if loss.requires_grad]
    if not losses or not parameters:
        return [None] * len(parameters)
    with without_hooks(parameters):
        return torch.autograd.grad(losses, parameters, retain_graph=retain_graph, allow_unused=True)


def lay_out(
    losses: Sequence[Tensor], per_row: Sequence[Sequence[Tensor | None]], parameters: Parameters
) -> IterationGradients:
    """Flattens gradients into a matrix with one row per group.

    Args:
        losses: The loss of every term.
        per_row: For each row the gradients of all parameters; ``None`` for an unused parameter.
        parameters: The parameters.
    """
    columns = parameters.all
    present = tuple([tuple([g is not None for g in row]) for row in per_row])
    parts = [
        torch.zeros_like(p) if g is None else g
        for row in per_row
        for g, p in zip(row, columns, strict=True)
    ]
    if any(v.dtype != parts[0].dtype for v in parameters.external):  # one made from NumPy
        parts = [part.to(parts[0]) for part in parts]
    flat = [part if part.dim() == 1 else part.reshape(-1) for part in parts]
    values = torch.cat(flat).view(len(per_row), -1)
    sizes = tuple([p.numel() for p in parameters.network])
    return IterationGradients(
        torch.stack(list(losses)).detach(),
        values,
        _used_mask(tuple([row[: len(sizes)] for row in present]), sizes, values.device),
        parameters,
        tuple([any(column) for column in zip(*present, strict=True)]),
    )


@lru_cache(maxsize=16)
def _first_rows(used: Tensor, rows: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """The first rows of a mask, as numbers, and their sums; cached for a mask that is cached."""
    chosen = used[:rows]
    return chosen, chosen.to(dtype), chosen.sum(dim=1).to(dtype)


@lru_cache(maxsize=16)
def _used_mask(
    present: tuple[tuple[bool, ...], ...], sizes: tuple[int, ...], device: torch.device
) -> Tensor | None:
    """Expands flags per parameter to flags per entry; cached, for they are the same in each call.

    Args:
        present: For each row whether its loss depends on each of the network's parameters.
        sizes: The number of entries of each parameter.
        device: The device of the result.

    Returns:
        Boolean tensor of shape (rows, P); ``None`` if all are true.
    """
    if all(all(row) for row in present):
        return None
    # On the host: a GPU would have to be asked for the size of the result.
    return torch.as_tensor(np.repeat(present, sizes, axis=1), device=device)
