"""The losses that a DeepXDE data object computes, before DeepXDE weights and stacks them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import deepxde as dde
from torch import Tensor

from .batch import Batch


class DeepXDELosses(NamedTuple):
    """The losses of one evaluation.

    Args:
        losses: The unweighted loss of each term, shape ().
        loss_fn: The loss function, or a list of one for each term.
    """

    losses: list[Tensor]
    loss_fn: Any


def deepxde_losses(model: dde.Model, batch: Batch, loss_fn: Any = None) -> DeepXDELosses:
    """Evaluates DeepXDE's unweighted training losses and returns them unstacked.

    The backward of a loss taken from DeepXDE's stack would run through the graphs of all losses,
    and could not tell which parameters the loss does not depend on.

    Args:
        model: A compiled model.
        batch: The points.
        loss_fn: Replaces the model's loss function, or its list of one for each term.
    """
    with _captured_losses(model.data, loss_fn) as captured:
        model.outputs_losses_train(*batch)
    return captured[0]


@contextmanager
def given_losses(data: dde.data.Data, training: bool, losses: list[Tensor]) -> Iterator[None]:
    """Lets DeepXDE take losses that are known, in the place of those of its outputs.

    DeepXDE multiplies them with its `loss_weights` and appends an L1 regularization.

    Args:
        data: The data object.
        training: Whether they are the training losses.
        losses: The loss of each term, shape ().
    """
    name = "losses_train" if training else "losses_test"
    setattr(data, name, lambda *args, **kwargs: losses)
    try:
        yield
    finally:
        delattr(data, name)


@contextmanager
def _captured_losses(data: dde.data.Data, other_loss_fn: Any) -> Iterator[list[DeepXDELosses]]:
    """Yields a list to which each evaluation in the context appends the losses of `data`."""
    captured: list[DeepXDELosses] = []
    original = data.losses_train

    def losses_train(targets: Any, outputs: Any, loss_fn: Any, *args: Any, **kwargs: Any) -> Any:
        if other_loss_fn is not None:
            loss_fn = other_loss_fn
        losses = original(targets, outputs, loss_fn, *args, **kwargs)
        listed = losses if isinstance(losses, list) else [losses]
        captured.append(DeepXDELosses(listed, loss_fn))
        return losses

    own = vars(data).get("losses_train")
    data.losses_train = losses_train
    try:
        yield captured
    finally:
        if own is None:
            del data.losses_train
        else:
            data.losses_train = own
