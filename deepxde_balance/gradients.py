"""The losses of one iteration and their gradients, per group of terms."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import deepxde as dde
import torch
from torch import Tensor

from .group_gradients import GroupGradients
from .terms import TermGroups


class Batch(NamedTuple):
    """What DeepXDE hands to a training step."""

    inputs: Any
    targets: Any = None
    auxiliary_vars: Any = None


class IterationGradients(NamedTuple):
    """What an engine gives for one iteration.

    Args:
        losses: Unweighted, unscaled loss of every term, shape (number of terms,), detached.
        network: Gradients of the row losses with respect to the network's parameters.
        external: The same with respect to the external variables, shape (rows, E).
        reached: Whether any row depends on a parameter: the network's, then the external ones.
    """

    losses: Tensor
    network: GroupGradients
    external: Tensor
    reached: tuple[bool, ...]


class GradientEngine(ABC):
    """Computes losses and per-group gradients of a DeepXDE model.

    Args:
        model: A compiled ``dde.Model``.
        groups: The groups of its terms; a row's loss is the sum over its terms, scaled.
        scale: One static factor per term.
    """

    name: str

    def __init__(self, model: dde.Model, groups: TermGroups, scale: Sequence[float]):
        self.model = model
        self.groups = groups
        self.scale = tuple(scale)

    @abstractmethod
    def losses(self, batch: Batch) -> list[Tensor]:
        """The unweighted, unscaled loss of every term, differentiable in the parameters."""

    @abstractmethod
    def gradients(self, batch: Batch) -> IterationGradients:
        """The losses and the gradients of every row of the groups."""

    def parameters(self) -> tuple[list[Tensor], list[Tensor]]:
        """The trainable parameters of the network, and all others that the optimizer trains."""
        network = [p for p in self.model.net.parameters() if p.requires_grad]
        return network, external_variables(self.model)

    def row_losses(self, losses: Sequence[Tensor]) -> list[Tensor]:
        """The scaled sum of each row's losses."""
        return [
            torch.stack([self.scale[i] * losses[i] for i in row]).sum() for row in self.groups.rows
        ]


class PerGroupEngine(GradientEngine):
    """One backward per group, on the losses that DeepXDE itself makes: right for any data."""

    name = "per-group"

    def losses(self, batch: Batch) -> list[Tensor]:
        return deepxde_losses(self.model, batch).losses

    def gradients(self, batch: Batch) -> IterationGradients:
        network, external = self.parameters()
        losses = self.losses(batch)
        rows = self.row_losses(losses)
        per_row = [
            grad(loss, [*network, *external], keep_graph=i < len(rows) - 1)
            for i, loss in enumerate(rows)
        ]
        return lay_out(losses, per_row, network, external)


def external_variables(model: dde.Model) -> list[Tensor]:
    """What a compiled model trains besides the network: the unknowns of an inverse problem."""
    network = {id(p) for p in model.net.parameters()}
    trained = [p for group in model.opt.param_groups for p in group["params"]]
    variables = {id(v): v for v in (*model.external_trainable_variables, *trained)}
    return [v for i, v in variables.items() if i not in network and v.requires_grad]


def grad(loss: Tensor, parameters: list[Tensor], keep_graph: bool) -> Sequence[Tensor | None]:
    """The loss's gradient; ``None`` for a parameter that it does not depend on."""
    if not loss.requires_grad:
        return [None] * len(parameters)
    return torch.autograd.grad(loss, parameters, retain_graph=keep_graph, allow_unused=True)


def lay_out(
    losses: Sequence[Tensor],
    per_row: Sequence[Sequence[Tensor | None]],
    network: list[Tensor],
    external: list[Tensor],
) -> IterationGradients:
    """Lays gradients out as matrices, one row per group; ``None`` stands for an unused parameter.

    Args:
        losses: The loss of every term.
        per_row: For each row the gradients of `network`'s and then `external`'s parameters.
        network: The network's parameters.
        external: The other parameters.
    """
    parts = [
        (g if g is not None else torch.zeros_like(p)).reshape(-1)
        for row in per_row
        for g, p in zip(row, [*network, *external], strict=True)
    ]
    values = torch.cat(parts).view(len(per_row), -1)
    sizes = tuple(p.numel() for p in network)
    present = [tuple(g is not None for g in row) for row in per_row]
    used = _used_mask(tuple(row[: len(network)] for row in present), sizes, values.device)
    split = sum(sizes)
    return IterationGradients(
        torch.stack(list(losses)).detach(),
        GroupGradients(values[:, :split], used),
        values[:, split:],
        tuple(any(column) for column in zip(*present, strict=True)),
    )


@lru_cache(maxsize=16)
def _used_mask(
    present: tuple[tuple[bool, ...], ...], sizes: tuple[int, ...], device: torch.device
) -> Tensor | None:
    """Which entries of the rows are used; ``None`` if all. The same in every iteration."""
    if all(all(row) for row in present):
        return None
    flags = torch.tensor(present, device=device)
    return flags.repeat_interleave(torch.tensor(sizes, device=device), dim=1)


class DeepXDELosses(NamedTuple):
    """What a data object gave to DeepXDE.

    Args:
        losses: The unweighted losses.
        loss_fn: DeepXDE's loss function, or one for each term.
    """

    losses: list[Tensor]
    loss_fn: Any


def deepxde_losses(model: dde.Model, batch: Batch) -> DeepXDELosses:
    """DeepXDE's training losses, unweighted, as they are before it stacks them.

    A loss cut out of the stack would drag every other loss's graph through its backward, and
    hide which parameters it does not depend on.
    """
    with _recorded_losses(model.data) as recorded:
        model.outputs_losses_train(*batch)
    return recorded[0]


@contextmanager
def _recorded_losses(data: dde.data.Data) -> Iterator[list[DeepXDELosses]]:
    """Notes what `data` returns to DeepXDE while the context lasts."""
    recorded: list[DeepXDELosses] = []
    original = data.losses_train

    def losses_train(targets: Any, outputs: Any, loss_fn: Any, *args: Any, **kwargs: Any) -> Any:
        losses = original(targets, outputs, loss_fn, *args, **kwargs)
        listed = losses if isinstance(losses, list) else [losses]
        recorded.append(DeepXDELosses(listed, loss_fn))
        return losses

    own = vars(data).get("losses_train")
    data.losses_train = losses_train
    try:
        yield recorded
    finally:
        if own is None:
            del data.losses_train
        else:
            data.losses_train = own
