"""Warnings about the weights of a training step. Each is given once."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from ..terms.groups import TermGroups
from ..weightings import Weighting
from .driven_on import RunawayWatch
from .unit_warning import UnitWarning

#: A condition is said to be let go when its weight is below 1 in at least this number of successive
#: records, over at least this number of iterations. Both are conventions.
RECORDS = 3
ITERATIONS = 500

#: A condition whose loss is below this fraction of its first value is being learned. A convention.
LEARNED = 0.1


class WeightWarnings:
    """Warns about skipped groups, other units, and conditions that are let go or driven on.

    Args:
        weighting: The weighting.
        groups: The groups that it weights.
        scale: One static factor per term.
        first_record: Index of the first record in the loss history that belongs to these groups.
            Earlier records may have other terms.
    """

    def __init__(
        self, weighting: Weighting, groups: TermGroups, scale: Sequence[float], first_record: int
    ):
        self.first_record = first_record
        self._weighting = weighting
        self._groups = groups
        #: Warns of terms in other units, from what it is told of the first update.
        self.units = UnitWarning(weighting, groups, scale)
        self._told_skipped: set[str] = set()
        self._told_zero = False
        self._told_let_go = False
        self._told_driven_on = False
        self._watch = RunawayWatch(groups.names[0])
        #: How many records of the history it has seen.
        self._watched = 0

    def warn(self, history: Any) -> None:
        """Gives the warnings that are due after a record. Copies tensors to the host.

        Args:
            history: DeepXDE's loss history, with the weights in `loss_weights`.
        """
        self._warn_skipped()
        if not self._weighting.dynamic:
            return
        if not history.steps[self.first_record :]:  # a script has replaced the history by a new one
            self.first_record = 0
            return
        self.units.warn(history.loss_train[self.first_record])
        self._warn_zero()
        if self._weighting.can_let_go and not self._told_let_go:
            self._warn_let_go(history)
        if self._weighting.can_drive_on and self._groups.has_reference and not self._told_driven_on:
            self._warn_driven_on(history)

    def _warn_skipped(self) -> None:
        """Warns of groups that an update skipped, so that their weight did not change."""
        names = zip(self._groups.names, self._weighting.ever_skipped().tolist(), strict=True)
        new = [name for name, skipped in names if skipped and name not in self._told_skipped]
        if new:
            self._told_skipped.update(new)
            warnings.warn(
                f"The weight of {', '.join(map(repr, new))} was left as it was in at least one "
                "update: what it is made from (a gradient statistic, a loss or a kernel trace) was "
                "0, infinite or nan. The loss may not depend on the network (frozen layers, a hard "
                "constraint), or be exactly 0.",
                stacklevel=4,
            )

    def _warn_zero(self) -> None:
        """Warns of weights that have become exactly 0 by rounding."""
        if self._told_zero or not self._weighting.rounds_to_zero:
            return
        zeros = self._weighting.first_zeros()
        found = {
            name: first
            for name, first in zip(self._groups.names, zeros, strict=False)
            if first is not None
        }
        if found:
            self._told_zero = True
            name = min(found, key=found.__getitem__)
            warnings.warn(
                f"{self._weighting.called} gave {', '.join(map(repr, found))} a weight of "
                f"exactly 0, first {name!r} at iteration {found[name]} (since compile): a term "
                "without a weight is not trained. Its softmax rounds to 0 where losses differ "
                "much: put them into like units by `scale`, or take a beta (a temperature) that "
                "evens them out.",
                stacklevel=4,
            )

    def _warn_let_go(self, history: Any) -> None:
        """Warns of conditions that the weights let go."""
        own = slice(self.first_record, None)
        first, last = (
            self._group_losses(history.loss_train[own][k], self._groups.names[1:]) for k in (0, -1)
        )
        names = let_go(history.steps[own], history.loss_weights[own], first, last)
        if names:
            self._told_let_go = True
            warnings.warn(
                f"The weight of {', '.join(map(repr, names))} stays below 1, and the loss hardly "
                "falls: where the residual's gradient is small from the start, "
                "the strategy lets conditions go, and its weights fall further. Give it "
                'min_weight=1 or guard="growth", or take "auto".',
                stacklevel=4,
            )

    def _warn_driven_on(self, history: Any) -> None:
        """Warns of conditions that the weights drive on, and of a residual that they forget."""
        number = min(len(history.steps), len(history.loss_weights))
        if number < self._watched:  # a script has replaced the history by a new one
            self._watch, self._watched = RunawayWatch(self._groups.names[0]), 0
        for k in range(max(self._watched, self.first_record), number):
            losses = self._group_losses(history.loss_train[k], self._groups.names)
            self._watch.add(history.loss_weights[k], losses)
        self._watched = number
        names = self._watch.driven_on()
        if not names and not self._watch.residual_forgotten():
            return
        self._told_driven_on = True
        weights = history.loss_weights[-1]
        reference, *conditions = (
            f"{name!r} has weight {weights[name]:.2g} and loss {losses[name]:.2g}"
            for name in (self._groups.names[0], *(names or self._groups.names[1:]))
        )
        what = "drives on conditions that are met" if names else "forgets the residual"
        warnings.warn(
            f"{self._weighting.called} {what}: {', '.join(conditions)}; {reference}, at first "
            f"{self._watch.first_loss:.2g}. Training may not come back from here: bound the "
            "weights (max_weight=100, where the strategy has it), or take equal weights.",
            stacklevel=4,
        )

    def _group_losses(self, record: Sequence[float], names: Sequence[str]) -> dict[str, float]:
        """Losses of groups in a record of the loss history, which has the static factors."""
        members = dict(zip(self._groups.names, self._groups.members, strict=True))
        return {name: sum(float(record[i]) for i in members[name]) for name in names}


def let_go(
    steps: Sequence[int],
    weights: Sequence[Mapping[str, float]],
    first_losses: Mapping[str, float],
    losses: Mapping[str, float],
) -> list[str]:
    """Returns the names of groups whose weight stays below 1 while their loss hardly falls.

    Weights from ratios of gradients can feed on themselves: a condition with a weight below 1 is
    fitted more slowly than with equal weights; the network then approaches a function without
    residual, such as a constant; the residual's gradient falls, and with it the weight.

    Args:
        steps: The iterations of the records so far.
        weights: The groups' weights in each record, by name. The last one belongs to the last of
            `steps`; there may be fewer than `steps`, and a record may lack a group.
        first_losses: The groups' unweighted losses in the first record, by name.
        losses: The groups' unweighted losses in the last record, by name.
    """
    return [
        name
        for name in losses
        if losses[name] > LEARNED * first_losses[name] and _below_for_long(name, steps, weights)
    ]


def _below_for_long(
    name: str, steps: Sequence[int], weights: Sequence[Mapping[str, float]]
) -> bool:
    """Whether a group's weight is below 1 in enough of the last records."""
    last_records = zip(reversed(steps), reversed(weights), strict=False)
    for number, (step, record) in enumerate(last_records, start=1):
        if record.get(name, 1.0) >= 1:
            return False
        if number >= RECORDS and steps[-1] - step >= ITERATIONS:
            return True
    return False
