"""Finds the first iteration in which a loss was not finite."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from ..terms.term import Term, terms_without_points

#: The number of iterations that are looked at together.
_MANY = 100

#: Stands for no iteration: a later one than any.
_NEVER = torch.iinfo(torch.int64).max


class LossCheck:
    """Finds for each term the first iteration in which its loss was nan or infinite.

    The losses of iterations are noted, and looked at many at a time. Nothing waits for the device
    before :meth:`first_invalid`.
    """

    def __init__(self) -> None:
        self._iterations: list[int] = []
        self._losses: list[Tensor] = []
        #: For each term the first iteration among those that were looked at.
        self._first: Tensor | None = None

    def note(self, iteration: int, losses: Tensor) -> None:
        """Notes the losses of the terms, shape (number of terms,).

        Args:
            iteration: The model's iteration.
            losses: A tensor that no later iteration changes.
        """
        known = self._iterations
        # Successive iterations need no copy from the host, for which a GPU would wait.
        if known and (len(known) == _MANY or iteration != known[-1] + 1):
            self._look()
        self._iterations.append(iteration)
        self._losses.append(losses.detach())

    def first_invalid(self) -> list[int | None]:
        """For each term the first iteration with a loss that is not finite; copies to the host.

        The list is empty if nothing was noted.
        """
        if self._iterations:
            self._look()
        first = [] if self._first is None else self._first.tolist()
        return [None if iteration == _NEVER else iteration for iteration in first]

    def _look(self) -> None:
        """Looks at the noted losses, and forgets them."""
        wrong = ~torch.stack(self._losses).isfinite()
        numbers = torch.arange(len(wrong), device=wrong.device)
        iterations = (self._iterations[0] + numbers).unsqueeze(1)
        first = torch.where(wrong, iterations, _NEVER).amin(dim=0)
        self._first = first if self._first is None else torch.minimum(self._first, first)
        self._iterations, self._losses = [], []


def is_finite(net: torch.nn.Module) -> bool:
    """Whether all parameters of a network are finite; waits for the device."""
    return all(bool(parameter.isfinite().all()) for parameter in net.parameters())


def warn_of_test_losses(model: dde.Model, names: Sequence[str]) -> None:
    """Says that a test loss has ended the training, which DeepXDE does in silence.

    Training losses that are not finite have a warning of their own.

    Args:
        model: The model after a training.
        names: The names of its loss terms.
    """
    state = model.train_state
    if not model.stop_training or np.isnan(state.loss_train).any():
        return
    wrong = [name for name, loss in zip(names, state.loss_test, strict=False) if np.isnan(loss)]
    if wrong:
        warnings.warn(
            f"Training ended in iteration {state.step}: the test loss of "
            f"{', '.join(map(repr, wrong))} is nan, the training losses are not. Look at the test "
            "points and their values: one without points has a mean of nan.",
            stacklevel=8,  # who called `train`
        )


def in_words(found: Mapping[str, int], model: dde.Model, terms: Sequence[Term]) -> str:
    """What is told of losses that are not finite.

    Args:
        found: The first iteration by term, for the terms that had such a loss.
        model: The model.
        terms: Its terms.
    """
    first = min(found.values())
    names = ", ".join(repr(name) for name, iteration in found.items() if iteration == first)
    text = f"The loss of {names} was not finite (nan or inf) in iteration {first}"
    empty = [term.name for term in terms_without_points(model.data, terms) if term.name in found]
    finite = is_finite(model.net)
    if empty:
        text += f": {', '.join(map(repr, empty))} has no points any more. Keep some of its points"
    elif len(terms) == list(found.values()).count(first) and not finite:
        text += (
            f": the parameters were not, after iteration {first - 1}. A gradient was nan (the root "
            "of 0, a division by 0) or overflowed, or the learning rate is too large. "
            "ddb.diagnose at an earlier checkpoint names a term with such a gradient"
        )
    else:
        text += (
            ": look for a division by 0, a root or logarithm, an overflow in that term, or too "
            "large a learning rate"
        )
    if not finite:
        text += ". The network has become nan: go on from a checkpoint before that iteration"
    return f"{text}."
