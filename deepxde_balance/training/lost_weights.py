"""Warnings that a compile loses the weights of the phase before."""

from __future__ import annotations

import warnings
from typing import Any

from ..weightings import Weighting
from .step import TrainStep


def warn_of_lost_weights(
    before: TrainStep | None, after: TrainStep | None, loss_weights: Any
) -> None:
    """Warns a user who compiles, and may not know it, without the weights reached so far.

    Args:
        before: The training step of the phase before.
        after: That of the phase to come. Each is ``None`` where DeepXDE's own step trains.
        loss_weights: The argument of `compile`.
    """
    if before is None:
        return
    if before.weighting.adapted:
        if loss_weights is None:
            _warn(
                "Compiled without loss_weights, the model has weight 1 for all from now on: "
                'give "keep" to go on with the weights of the phase before.'
            )
        elif after is not None and _is_same_strategy(before.weighting, after.weighting):
            _warn(
                f"Compiled again, the weights of {after.weighting.called} start afresh, with 1 for "
                'all: give "keep" to go on with the weights of the phase before.'
            )
    weighed = any(rule.number(i) is not None for i, rule in before.rules_beside.items())
    if weighed and (after is None or not after.rules_beside):
        _warn(
            "Compiled without point_weights, all points of a term count the same from now on: "
            'give loss_weights="keep" to go on with the weights of the phase before.'
        )


def _is_same_strategy(before: Weighting, after: Weighting) -> bool:
    return after.dynamic and after.strategy == before.strategy


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=4)  # the line that calls compile
