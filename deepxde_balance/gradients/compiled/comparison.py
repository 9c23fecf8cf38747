"""Two evaluations of one iteration beside each other: whether they differ by more than rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...terms.groups import TermGroups
from ..base import IterationGradients

#: So many times what a change of the parameters in their last places makes is still rounding.
_ROUNDING = 30

#: So many times what was found when there was nothing else than rounding still is.
_KNOWN = 10


@dataclass(frozen=True)
class Comparison:
    """How far two evaluations are apart, each loss and each row's gradient by itself.

    Entries: the terms' losses, the rows' gradients by the network's parameters, the rows'
    gradients by the external variables; all of shape (T + 2 R,), or (T,) where the trainable
    parameters are not the same any more.

    Args:
        distance: From each other.
        size: Of what is expected.
        rounding: What a change of the parameters in their last places makes.
        epsilon: Of the float type.
        kinds: How many entries of each kind there are.
    """

    distance: Tensor
    size: Tensor
    rounding: Tensor
    epsilon: float
    kinds: tuple[int, ...]

    @property
    def finite(self) -> Tensor:
        """Which entries have something finite to be compared with."""
        return self.size.isfinite() & self.rounding.isfinite()

    def or_else(self, other: Comparison) -> Comparison:
        """This, and another where this has nothing finite."""
        distance, size, rounding = (
            torch.where(self.finite, mine, its)
            for mine, its in (
                (self.distance, other.distance),
                (self.size, other.size),
                (self.rounding, other.rounding),
            )
        )
        return Comparison(distance, size, rounding, self.epsilon, self.kinds)

    def differs(self, known: Comparison | None = None) -> Tensor:
        """Which entries differ by more than rounding.

        Args:
            known: A comparison in which nothing but rounding differed. Without one, what is small
                beside the largest of its kind counts as rounding: a condition that the network
                meets by construction.
        """
        allowed = self.epsilon**0.5 * self.size + _ROUNDING * self.rounding
        if known is None:
            allowed = allowed + self.epsilon * self._largest()
        elif known.kinds == self.kinds:
            allowed = allowed + _ROUNDING * known.rounding.nan_to_num(posinf=0.0)
            allowed = allowed + _KNOWN * known.distance.nan_to_num(posinf=0.0)
        return ~(self.distance <= allowed) & self.finite

    def differs_plainly(self, known: Comparison) -> Tensor:
        """Which entries differ by more than rounding ever could, beside the largest of a kind."""
        return self.differs(known) & ~(self.distance <= self.epsilon**0.5 * self._largest())

    def _largest(self) -> Tensor:
        sizes = torch.where(self.finite, self.size, 0.0).split(self.kinds)
        return torch.cat([s.max().expand_as(s) for s in sizes])

    def names(self, entries: Tensor, groups: TermGroups) -> list[str]:
        """The terms whose losses or gradients some entries are."""
        rows = [[groups.terms[i].name for i in row] for row in groups.rows]
        of_entries = [*([term.name] for term in groups.terms), *rows, *rows]
        chosen = (names for names, e in zip(of_entries, entries.tolist(), strict=False) if e)
        return list(dict.fromkeys(name for names in chosen for name in names))


def compare(
    found: IterationGradients,
    expected: IterationGradients,
    rounded: Sequence[IterationGradients],
) -> Comparison:
    """Sets an evaluation beside the one that it should be.

    Args:
        found: The evaluation.
        expected: What it should be.
        rounded: The same at parameters that differ in their last places; one or more.
    """
    parts = [_parts(of) for of in (found, expected, *rounded)]
    kinds = [kind for kind in zip(*parts, strict=True) if kind[0].shape == kind[1].shape]
    return Comparison(
        torch.cat([_norms(f - e) for f, e, *_ in kinds]),
        torch.cat([_norms(e) for _, e, *_ in kinds]),
        torch.cat([torch.stack([_norms(r - e) for r in rs]).amax(0) for _, e, *rs in kinds]),
        torch.finfo(expected.values.dtype).eps,
        tuple(len(e) for _, e, *_ in kinds),
    )


def _parts(of: IterationGradients) -> Sequence[Tensor]:
    width = sum(p.numel() for p in of.parameters.network)
    return of.losses.unsqueeze(1), of.values[:, :width], of.values[:, width:]


def _norms(rows: Tensor) -> Tensor:
    return torch.linalg.vector_norm(rows, dim=1)
