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
