"""A criterion to rank strategies by where no solution is known, from the test losses alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Losses = Mapping[str, np.ndarray]


def term_scales(losses: Losses) -> dict[str, np.ndarray]:
    """The scale of each term at each record: its largest finite loss so far, shape (S,).

    The loss at the untrained network alone would be a poor scale. Where no source or few
    conditions drive a residual, an untrained network that is nearly constant meets it by chance,
    and a strategy that makes the network leave that state would look worse than one that stays.

    A term whose loss is 0 at the untrained network has at least the largest scale that another
    term has there: else its first rounding errors would count as a term that is not met.

    Args:
        losses: The unweighted test losses by term, each of shape (S,), the first that of the
            untrained network.
    """
    finite = {name: np.where(np.isfinite(v), v, np.nan) for name, v in losses.items()}
    first = {name: values[0] for name, values in finite.items()}
    largest = np.fmax.reduce(list(first.values()), initial=0.0) or 1.0
    return {
        name: np.fmax.accumulate(values if first[name] > 0 else np.fmax(values, largest))
        for name, values in finite.items()
    }


def worst_term(losses: Losses) -> np.ndarray:
    """The largest of the terms' losses, each divided by its :func:`term_scales`, shape (S,).

    A proxy for the error, at most 1: a term that is let go counts, however well the others are
    met. It can't tell a wrong solution that meets all terms from the right one, and it forgives a
    run that went far astray and came back part of the way. It is not finite where a loss is not.

    Of the candidates that need one run alone, it ranks the runs of this repository's suite of
    problems most as their true errors do. This function is the criterion's definition; another
    one takes its place here.

    Args:
        losses: As for :func:`term_scales`.
    """
    scales = term_scales(losses)
    worst: np.ndarray = np.max([losses[name] / scale for name, scale in scales.items()], axis=0)
    return worst
