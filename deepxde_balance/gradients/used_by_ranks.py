"""Which parameters the losses depend on, on any of several processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..ranks import Ranks
from .base import IterationGradients


class _Seen(NamedTuple):
    """What one rank sees in an evaluation.

    Args:
        parameters: The identities of the parameters.
        reached: For each whether the losses depend on it.
        used: The mask of the rows, see :class:`IterationGradients`.
    """

    parameters: list[int]
    reached: tuple[bool, ...]
    used: Tensor | None

    def is_same(self, other: _Seen) -> bool:
        if self.reached != other.reached:
            return False
        a, b = self.used, other.used  # the engines give the very tensor again, as a rule
        return a is b or (a is not None and b is not None and torch.equal(a, b))


class _Known(NamedTuple):
    """What this rank saw first, and what is used and reached on any rank."""

    first: _Seen
    used: Tensor | None
    reached: tuple[bool, ...]


class UsedByRanks:
    """Which parameters the losses of the ranks' shares depend on, all ranks together.

    Where a network has a branch for some points only, such as a sub-network for a subdomain, a
    rank without such points does not see that the losses depend on its parameters. The ranks
    exchange this in the first evaluation at new points, not in each one, since the host must read
    it.

    Args:
        ranks: The processes.

    Attributes:
        changed: Whether this rank's losses depended on other parameters later, at the same points.
    """

    def __init__(self, ranks: Ranks):
        self._ranks = ranks
        self.changed = False
        self._of_losses: _Known | None = None
        self._of_rows: _Known | None = None

    def forget(self) -> None:
        """Lets the ranks exchange it again: the points are new."""
        self._of_losses = self._of_rows = None

    def reached(self, own: Sequence[bool], parameters: Sequence[Tensor]) -> tuple[bool, ...]:
        """For each parameter whether the losses of any rank depend on it.

        Args:
            own: Whether those of this rank do.
            parameters: The parameters.
        """
        seen = _Seen([id(p) for p in parameters], tuple(own), None)
        if self._of_losses is None or self._of_losses.first.parameters != seen.parameters:
            anywhere = self._anywhere(torch.tensor(seen.reached, device=parameters[0].device))
            self._of_losses = _Known(seen, None, tuple(anywhere.tolist()))
        self.changed |= not seen.is_same(self._of_losses.first)
        return self._of_losses.reached

    def complete(self, own: IterationGradients) -> IterationGradients:
        """This rank's gradients, with `used` and `reached` of all ranks.

        Args:
            own: The gradients of the rank's share.
        """
        seen = _Seen([id(p) for p in own.parameters.all], own.reached, own.used)
        if self._of_rows is None or self._of_rows.first.parameters != seen.parameters:
            self._of_rows = _Known(seen, *self._united(own))
        self.changed |= not seen.is_same(self._of_rows.first)
        return own._replace(used=self._of_rows.used, reached=self._of_rows.reached)

    def _united(self, own: IterationGradients) -> tuple[Tensor | None, tuple[bool, ...]]:
        """What is used and reached on any rank."""
        mask = own.used
        if mask is None:
            width = sum(p.numel() for p in own.parameters.network)
            mask = own.values.new_ones(len(own.values), width, dtype=torch.bool)
        reached = torch.tensor(own.reached, device=mask.device)
        anywhere = self._anywhere(torch.cat([mask.reshape(-1), reached]))
        used, reached = anywhere.split([mask.numel(), len(reached)])
        whole = bool(used.all())
        return None if whole else used.view_as(mask), tuple(reached.tolist())

    def _anywhere(self, own: Tensor) -> Tensor:
        number = own.to(torch.get_default_dtype())
        self._ranks.add_up(number)
        return number > 0
