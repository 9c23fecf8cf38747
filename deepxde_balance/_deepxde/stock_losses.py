"""The losses as DeepXDE's data object makes them, before DeepXDE weighs and stacks them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import deepxde as dde
from torch import Tensor

from .batch import Batch


class DeepXDELosses(NamedTuple):
    """What a data object gave to DeepXDE.

    Args:
        losses: The unweighted losses.
        loss_fn: DeepXDE's loss function, or one for each term.
    """

    losses: list[Tensor]
    loss_fn: Any


def deepxde_losses(model: dde.Model, batch: Batch, loss_fn: Any = None) -> DeepXDELosses:
    """DeepXDE's training losses, unweighted, as they are before it stacks them.

    A loss cut out of the stack would drag every other loss's graph through its backward, and
    hide which parameters it does not depend on.

    Args:
        model: A compiled model.
        batch: The points.
        loss_fn: What takes the place of the model's loss function, if anything.
    """
    with _recorded_losses(model.data, loss_fn) as recorded:
        model.outputs_losses_train(*batch)
    return recorded[0]


@contextmanager
def _recorded_losses(data: dde.data.Data, other_loss_fn: Any) -> Iterator[list[DeepXDELosses]]:
    """Notes what `data` returns to DeepXDE while the context lasts."""
    recorded: list[DeepXDELosses] = []
    original = data.losses_train

    def losses_train(targets: Any, outputs: Any, loss_fn: Any, *args: Any, **kwargs: Any) -> Any:
        if other_loss_fn is not None:
            loss_fn = other_loss_fn
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
