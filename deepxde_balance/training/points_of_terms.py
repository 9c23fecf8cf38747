"""Which points of a batch belong to which loss term."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import deepxde as dde
import numpy as np

from .._deepxde.batch import condition_spans
from ..terms.same_terms import check_same_number
from ..terms.term import Term


class Pool(NamedTuple):
    """The points of a condition that takes a mini-batch of them in each iteration.

    Args:
        points: All points, shape (N, d).
        chosen: The positions of the present mini-batch.
    """

    points: np.ndarray
    chosen: np.ndarray


def points_of_terms(
    problem: dde.data.PDE, terms: Sequence[Term], inputs: np.ndarray
) -> dict[int, np.ndarray]:
    """The points of each term in a batch, by the term's position.

    Args:
        problem: The data.
        terms: The loss terms.
        inputs: The points of the batch, shape (N, d).
    """
    conditions = [term for term in terms if term.condition is not None]
    check_same_number(len(problem.bcs), conditions)
    spans = iter(condition_spans(problem))
    residual = inputs[sum(problem.num_bcs) :]
    return {
        i: residual if term.condition is None else inputs[slice(*next(spans))]
        for i, term in enumerate(terms)
    }


def pool_of(term: Term) -> Pool | None:
    """The points that a term's mini-batches are drawn from; ``None`` if it has none."""
    chosen = getattr(term.condition, "batch_indices", None)
    if chosen is None:
        return None
    # A copy: DeepXDE's sampler shuffles its positions in place.
    return Pool(np.asarray(term.condition.points), np.array(chosen))
