"""A criterion to rank strategies by where no solution is known, from the test losses alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Losses = Mapping[str, np.ndarray]


def term_scales(losses: Losses) -> dict[str, float]:
    """The scale of each term: its loss at the untrained network, which all strategies share.

    A term whose loss is 0 there has the largest scale of the other terms.

    Args:
        losses: The unweighted test losses by term, each of shape (S,), the first that of the
            untrained network.
    """
    first = {name: float(values[0]) for name, values in losses.items()}
    largest = max(first.values(), default=0.0) or 1.0
    return {name: value if value > 0 else largest for name, value in first.items()}


def worst_term(losses: Losses) -> np.ndarray:
    """The largest of the terms' losses, each divided by its :func:`term_scales`, shape (S,).

    A proxy for the error: a term that is let go counts, however well the others are met. It can't
    tell a wrong solution that meets all terms from the right one. It is nan where a loss is nan.
    This function is the criterion's definition; another one takes its place here.

    Args:
        losses: As for :func:`term_scales`.
    """
    scales = term_scales(losses)
    worst: np.ndarray = np.max([losses[name] / scale for name, scale in scales.items()], axis=0)
    return worst
