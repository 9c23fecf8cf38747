"""The points of one training iteration."""

from __future__ import annotations

from typing import Any, NamedTuple


class Batch(NamedTuple):
    """What DeepXDE hands to a training step."""

    inputs: Any
    targets: Any = None
    auxiliary_vars: Any = None

    def is_same(self, other: Batch | None) -> bool:
        """Whether points and auxiliary variables are the same arrays."""
        return (
            other is not None
            and self.inputs is other.inputs
            and self.auxiliary_vars is other.auxiliary_vars
        )
