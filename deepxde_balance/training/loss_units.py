"""The units of the losses in the loss history: static factors, and what a change of them means."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import deepxde as dde
import numpy as np


def with_factors(losses: np.ndarray, factors: Sequence[float]) -> np.ndarray:
    """The losses of a record, each multiplied by its static factor.

    Args:
        losses: The losses of the terms, and perhaps last an L1 regularization, which stays.
        factors: One static factor per term.
    """
    if all(factor == 1 for factor in factors):
        return losses
    columns = np.ones(len(losses))
    columns[: len(factors)] = factors
    scaled: np.ndarray = (losses * columns).astype(losses.dtype)
    return scaled


def follow_change(model: dde.Model, before: Sequence[float], after: Sequence[float]) -> None:
    """Begins the search for the best step afresh where the units of the losses change.

    Args:
        model: The model.
        before: The static factors of the losses that were recorded so far.
        after: Those of the losses from now on.
    """
    same = tuple(before) == tuple(after) or all(f == 1 for f in (*before, *after))
    if same or not model.losshistory.steps:
        return
    model.train_state.disregard_best()
    warnings.warn(
        f"The losses in the history so far have other static factors ({_listed(before)}; from now "
        f"on {_listed(after)}): they can't be compared with those to come, and the best step is "
        "looked for afresh.",
        stacklevel=3,
    )


def _listed(factors: Sequence[float]) -> str:
    if all(factor == 1 for factor in factors):
        return "none"
    return ", ".join(f"{factor:g}" for factor in factors)
