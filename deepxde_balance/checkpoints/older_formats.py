"""Reads checkpoints of older formats as the present one."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

from torch.nn.functional import pad


def convert(ours: dict[str, Any]) -> None:
    """Gives this package's part of a checkpoint the entries of the present format, in place.

    What an older format lacks stays away.

    Args:
        ours: The part, of a format that can be read.
    """
    factors = [] if ours["weighting"] is None else ours["weighting"]["scale"]
    if ours["format"] < 6 and any(factor != 1 for factor in factors):
        _forget_losses_without_factors(ours)
    if ours["format"] < 9:
        _find_losses_at_best(**ours["run"])
    if ours["format"] < 8 and ours["weighting"] is not None:
        _let_guards_see_the_reference(ours["weighting"]["state"])
    if ours["format"] > 4:
        return
    for state in _states_of_points(ours):
        if state.keys() == {"w", "fourth", "updates"}:  # BRDR's average of e^4, now its root
            state["root"] = state.pop("fourth").sqrt()


def _forget_losses_without_factors(ours: dict[str, Any]) -> None:
    """Lets nothing compare the recorded losses, which lack the static factors, with new ones."""
    run = ours["run"]
    run["train_state"]["best_loss_train"] = math.inf
    for callback in run.get("callbacks", []):
        if callback["state"].keys() & {"best"}:  # ModelCheckpoint, EarlyStopping
            callback["state"]["best"] = math.inf
    if ours["step"] is not None:
        ours["step"]["first_record"] = len(run["losshistory"]["steps"])
    warnings.warn(
        "The checkpoint is of an earlier version, whose loss history is without the factors of "
        "`scale`: losses up to here can't be compared with those to come, and the best step, and "
        "that of callbacks, is looked for afresh.",
        stacklevel=4,
    )


def _find_losses_at_best(
    train_state: dict[str, Any], losshistory: dict[str, Any], **_: Any
) -> None:
    """Adds the losses at the best step, which are in the history."""
    steps, best = losshistory["steps"], train_state["best_step"]
    at_best = losshistory["loss_train"][steps.index(best)] if best in steps else None
    train_state |= {"losses_at_best": at_best, "record_weights": None}


def _let_guards_see_the_reference(state: dict[str, Any]) -> None:
    """Puts the reference before the conditions whose losses a guard has seen, as not seen yet."""
    for name, unseen in (("guard.seen.logs", math.nan), ("guard.seen.largest_logs", -math.inf)):
        if name in state:
            state[name] = pad(state[name], (1, 0), value=unseen)


def _states_of_points(ours: dict[str, Any]) -> Iterator[dict[str, Any]]:
    points = (ours["step"] or {}).get("points")
    if points is None:
        return
    yield from points["pools"].values()
    for rule in points["rules"]:
        yield from rule.get("points", {}).values()
