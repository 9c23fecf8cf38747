"""Finds conditions that a strategy has let go: their weight stays below 1, they are not learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: So many records in a row, over at least so many iterations, must show it. Conventions.
RECORDS = 3
ITERATIONS = 500

#: A condition whose loss has fallen to this share of its first is being learned. A convention.
LEARNED = 0.1


def let_go(
    steps: Sequence[int],
    weights: Sequence[Mapping[str, float]],
    first_losses: Mapping[str, float],
    losses: Mapping[str, float],
) -> list[str]:
    """Names of the groups whose weight stays below 1 while their loss hardly falls.

    Weights from ratios of gradients can feed on themselves: a condition with a weight below 1 is
    fitted more slowly than with equal weights; the network goes towards a function without
    residual, a constant say; the residual's gradient, and with it the weight, falls further.

    Args:
        steps: The iterations of the records so far.
        weights: The groups' weights in each record, aligned at the end; a record may lack a group.
        first_losses: The groups' unweighted losses in the first record.
        losses: The same in the last.
    """
    return [
        name
        for name in losses
        if losses[name] > LEARNED * first_losses[name] and _below_for_long(name, steps, weights)
    ]


def _below_for_long(
    name: str, steps: Sequence[int], weights: Sequence[Mapping[str, float]]
) -> bool:
    last_records = zip(reversed(steps), reversed(weights), strict=False)
    for number, (step, record) in enumerate(last_records, start=1):
        if record.get(name, 1.0) >= 1:
            return False
        if number >= RECORDS and steps[-1] - step >= ITERATIONS:
            return True
    return False
