"""Notices that the loss terms of a problem are others than when it was compiled."""

from __future__ import annotations

from collections.abc import Sequence

from .term import Term


def check_same_number(number: int, terms: Sequence[Term]) -> None:
    """Checks the number of losses, or of residuals, of an evaluation.

    Args:
        number: How many there are now.
        terms: The terms that there were.

    Raises:
        RuntimeError: If there are others.
    """
    if number != len(terms):
        raise RuntimeError(
            f"There are {number} losses now, but at compile there were {len(terms)}: "
            f"{', '.join(term.name for term in terms)}. The number of residuals and conditions "
            "must stay the same; compile again when it changes."
        )


def check_same_terms(present: Sequence[Term], before: Sequence[Term]) -> None:
    """Checks that loss terms are those of an earlier phase, in the same order.

    Other conditions in the place of the earlier ones are allowed, if they are of the same kinds.

    Args:
        present: The terms that there are now, with the names that they have by default.
        before: The terms of the earlier phase; residuals may have names of their own.

    Raises:
        ValueError: If there are others, or conditions have changed places.
    """
    names = ", ".join(term.name for term in present)
    if len(present) == len(before) and all(map(_fits, present, before)):
        earlier = {id(term.condition) for term in before if term.condition is not None}
        moved = [
            now
            for now, then in zip(present, before, strict=True)
            if now.condition is not then.condition and id(now.condition) in earlier
        ]
        if not moved:
            return
        names += ", with conditions in another order"
    raise ValueError(
        '"keep" keeps the weights of the phase before, which had the loss terms '
        f"{', '.join(term.name for term in before)}. Now they are {names}: give a strategy or "
        "numbers."
    )


def _fits(now: Term, then: Term) -> bool:
    """Whether a term can have the weight of an earlier one."""
    if now.condition is None or then.condition is None:
        return now.condition is then.condition and now.untold == then.untold
    return now.condition is then.condition or now.name == then.name
