"""Compares two evaluations of one iteration: whether they differ by more than rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...terms.groups import TermGroups
from ..base import IterationGradients
from ..rounding import ROUNDING_FACTOR


@dataclass(frozen=True)
class Comparison:
    """How far an evaluation is from the expected one, each loss and each row's gradient by itself.

    The entries are of three kinds: the T losses of the terms, the R rows' gradients with respect
    to the network's parameters, and the R rows' gradients with respect to the external variables.
    Where the two evaluations have different trainable parameters, only the losses are compared.

    Args:
        distance: Norm of each entry's difference, shape (T + 2 R,) or (T,).
        size: Norm of each expected entry, same shape.
        rounding: Norm of the change of each entry by a last-digit change of the parameters, same
            shape.
        epsilon: Machine epsilon of the float type.
        kinds: The number of entries of each kind.
    """

    distance: Tensor
    size: Tensor
    rounding: Tensor
    epsilon: float
    kinds: tuple[int, ...]

    @property
    def finite(self) -> Tensor:
        """Which entries have a finite expected value and rounding error."""
        return self.size.isfinite() & self.rounding.isfinite()

    def or_else(self, other: Comparison) -> Comparison:
        """This comparison, with the entries of another where these are not finite."""
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
            known: A comparison in which only rounding differed. Without one, a difference that is
                tiny beside the largest entry of its kind counts as rounding too: the loss of a
                condition that the network meets by construction is nothing else.
        """
        allowed = self.epsilon**0.5 * self.size + ROUNDING_FACTOR * self.rounding
        if known is None:
            allowed = allowed + self.epsilon * self._largest()
        elif known.kinds == self.kinds:
            for error in (known.rounding, known.distance):
                allowed = allowed + ROUNDING_FACTOR * error.nan_to_num(posinf=0.0)
        within: Tensor = self.distance <= allowed
        return ~within & self.finite

    def differs_plainly(self, known: Comparison) -> Tensor:
        """Which entries differ by more than rounding, also beside the largest of their kind."""
        within: Tensor = self.distance <= self.epsilon**0.5 * self._largest()
        return self.differs(known) & ~within

    def _largest(self) -> Tensor:
        sizes = torch.where(self.finite, self.size, 0.0).split(self.kinds)
        return torch.cat([s.max().expand_as(s) for s in sizes])

    def names(self, entries: Tensor, groups: TermGroups) -> list[str]:
        """The names of the terms that some entries belong to, each once."""
        rows = [[groups.terms[i].name for i in row] for row in groups.rows]
        of_entries = [*([term.name] for term in groups.terms), *rows, *rows]
        chosen = (names for names, e in zip(of_entries, entries.tolist(), strict=False) if e)
        return list(dict.fromkeys(name for names in chosen for name in names))


def compare(
    found: IterationGradients,
    expected: IterationGradients,
    rounded: Sequence[IterationGradients],
) -> Comparison:
    """Compares an evaluation with the expected one.

    Args:
        found: The evaluation.
        expected: What it should be.
        rounded: The expected evaluation at parameters that differ in their last digits; at least
            one.
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
    """The entries, kind by kind, each entry a row."""
    width = sum(p.numel() for p in of.parameters.network)
    return of.losses.unsqueeze(1), of.values[:, :width], of.values[:, width:]


def _norms(rows: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return norms
