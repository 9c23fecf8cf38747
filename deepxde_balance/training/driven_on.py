"""Finds conditions that the weights drive on although they are met, and residuals forgotten so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

#: A weight has run away when it is so many times the group's smallest one, relative to the
#: reference's weight. A convention, as are the next three.
GROWN = 100.0

#: A group is negligible when its weighted loss is below this fraction of the reference's.
NEGLIGIBLE = 1e-4

#: A condition is met when its loss is below this fraction of its largest one.
MET = 1e-2

#: The reference is forgotten when its loss is above so many times its first one, while the weighted
#: loss of each condition is below the fraction `MET` of the reference's.
RISEN = 10.0


def driven_on(
    weights: Sequence[Mapping[str, float]], losses: Sequence[Mapping[str, float]], reference: str
) -> list[str]:
    """Returns the names of groups whose weight has grown although they are met and negligible.

    A condition that is met has a tiny gradient. Where a weight is a ratio to that gradient, it
    grows without end; the network then can't move without giving up the condition, and the
    residual stays where it is.

    Args:
        weights: The groups' weights in each record, by name; a record may lack a group.
        losses: The groups' losses in each record, by name, the reference's too.
        reference: The name of the reference.
    """
    weights_now, losses_now = weights[-1], losses[-1]
    negligible = NEGLIGIBLE * weights_now[reference] * losses_now[reference]
    return [
        name
        for name in losses_now
        if name != reference
        and weights_now[name] * losses_now[name] < negligible
        and _is_met(name, losses)
        and _growth(name, weights, reference) >= GROWN
    ]


def residual_forgotten(
    losses: Sequence[Mapping[str, float]], weights: Mapping[str, float], reference: str
) -> bool:
    """Whether the residual's loss has risen while all conditions are met and of no weight.

    A residual may rise from a tiny first loss for a good reason: an untrained network is almost
    constant. The conditions then still weigh as much as the residual.

    Args:
        losses: The groups' losses in each record, by name.
        weights: The groups' weights in the last record, by name.
        reference: The name of the reference.
    """
    first, last = losses[0], losses[-1]
    conditions = [name for name in last if name != reference]
    negligible = MET * weights[reference] * last[reference]
    return (
        bool(conditions)
        and last[reference] > RISEN * first[reference]
        and all(_is_met(name, losses) for name in conditions)
        and all(weights[name] * last[name] < negligible for name in conditions)
    )


def _is_met(name: str, losses: Sequence[Mapping[str, float]]) -> bool:
    return losses[-1][name] < MET * max(record[name] for record in losses)


def _growth(name: str, weights: Sequence[Mapping[str, float]], reference: str) -> float:
    """The last weight of a group over its smallest one, each relative to the reference's."""
    relative = [
        record[name] / record[reference]
        for record in weights
        if record.get(reference, 0) > 0 and record.get(name, 0) > 0
    ]
    return relative[-1] / min(relative) if relative else 0.0
