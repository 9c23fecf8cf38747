"""Reads checkpoints of older formats as the present one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def convert(ours: dict[str, Any]) -> None:
    """Gives this package's part of a checkpoint the entries of the present format, in place.

    What an older format lacks stays away.

    Args:
        ours: The part, of a format that can be read.
    """
    if ours["format"] > 4:
        return
    for state in _states_of_points(ours):
        if state.keys() == {"w", "fourth", "updates"}:  # BRDR's average of e^4, now its root
            state["root"] = state.pop("fourth").sqrt()


def _states_of_points(ours: dict[str, Any]) -> Iterator[dict[str, Any]]:
    points = (ours["step"] or {}).get("points")
    if points is None:
        return
    yield from points["pools"].values()
    for rule in points["rules"]:
        yield from rule.get("points", {}).values()
