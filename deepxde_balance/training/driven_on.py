"""Finds conditions that the weights drive on although they are met, and residuals forgotten so."""

from __future__ import annotations

import math
from collections.abc import Mapping

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


class RunawayWatch:
    """Follows the records of a training: weights that run away, a residual that is forgotten.

    A condition that is met has a tiny gradient. Where a weight is a ratio to that gradient, it
    grows without end; the network then can't move without giving up the condition, and the
    residual stays where it is.

    Args:
        reference: The name of the reference.
    """

    def __init__(self, reference: str):
        self._reference = reference
        self._weights: Mapping[str, float] = {}
        self._losses: Mapping[str, float] = {}
        #: The reference's loss in the first record.
        self.first_loss = math.nan
        self._largest_losses: dict[str, float] = {}
        #: Relative to the reference's weight.
        self._smallest_weights: dict[str, float] = {}

    def add(self, weights: Mapping[str, float], losses: Mapping[str, float]) -> None:
        """Takes in a record.

        Args:
            weights: The groups' weights by name; those of an earlier phase may have other names.
            losses: The groups' losses by name, the reference's too.
        """
        if not self._losses:
            self.first_loss = losses[self._reference]
        self._weights, self._losses = weights, losses
        for name, loss in losses.items():
            self._largest_losses[name] = max(loss, self._largest_losses.get(name, loss))
            if weights.get(name, 0) > 0 and weights.get(self._reference, 0) > 0:
                relative = weights[name] / weights[self._reference]
                self._smallest_weights[name] = min(
                    relative, self._smallest_weights.get(name, relative)
                )

    def driven_on(self) -> list[str]:
        """The names of groups whose weight has grown although they are met and negligible."""
        return [
            name
            for name in self._conditions()
            if self._is_met(name)
            and self._share(name) < NEGLIGIBLE
            and self._weights[name]
            >= GROWN * self._smallest_weights[name] * self._weights[self._reference]
        ]

    def residual_forgotten(self) -> bool:
        """Whether the residual's loss has risen while all conditions are met and of no weight.

        A residual may rise from a tiny first loss for a good reason: an untrained network is
        almost constant. The conditions then still weigh as much as the residual.
        """
        conditions = self._conditions()
        return (
            bool(conditions)
            and self._losses[self._reference] > RISEN * self.first_loss
            and all(self._is_met(name) and self._share(name) < MET for name in conditions)
        )

    def _conditions(self) -> list[str]:
        """The conditions with a weight in the last record; none where the reference has none."""
        if not self._weights.get(self._reference, 0) > 0:
            return []
        others = (name for name in self._losses if name != self._reference)
        return [name for name in others if self._weights.get(name, 0) > 0]

    def _is_met(self, name: str) -> bool:
        return self._losses[name] < MET * self._largest_losses[name]

    def _share(self, name: str) -> float:
        """The weighted loss of a condition over the reference's."""
        of_reference = self._weights[self._reference] * self._losses[self._reference]
        if not of_reference > 0:
            return math.inf
        return self._weights[name] * self._losses[name] / of_reference
