"""Groups of loss terms that share a weight."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._checks import unknown_name
from .term import CONDITIONS_AS_REFERENCE, REFERENCE, UNWEIGHTED, Term, check_length

LossGroups = Mapping[str, Any]


@dataclass(frozen=True)
class TermGroups:
    """The loss terms of a problem, divided into groups that share a weight.

    Args:
        terms: All terms, in the order of DeepXDE's losses: residuals, then conditions.
        names: Names of the weighted groups, the reference first, if there is one.
        members: For each weighted group the positions of its terms in `terms`.
        unweighted: Positions of the terms that belong to no group and have weight 1.
    """

    terms: tuple[Term, ...]
    names: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]
    unweighted: tuple[int, ...] = ()

    @property
    def has_reference(self) -> bool:
        """Whether the first group is what the others are compared with."""
        return self.names[:1] in ((REFERENCE,), (CONDITIONS_AS_REFERENCE,))

    @property
    def rows(self) -> tuple[tuple[int, ...], ...]:
        """The rows of a gradient matrix, each as the positions of the terms that it sums.

        There is a row for each group, and a last one for the unweighted terms, if there are any.
        """
        return self.members + ((self.unweighted,) if self.unweighted else ())

    def without(self, unweighted: Iterable[int]) -> TermGroups:
        """The groups without some terms, which are unweighted then; empty groups are left out.

        Args:
            unweighted: The positions of these terms.
        """
        out = {*self.unweighted, *unweighted}
        members = [tuple(i for i in own if i not in out) for own in self.members]
        left = [k for k, own in enumerate(members) if own]
        return TermGroups(
            self.terms,
            tuple(self.names[k] for k in left),
            tuple(members[k] for k in left),
            tuple(sorted(out)),
        )

    def scale_factors(
        self, scale: Mapping[str, float] | Sequence[float] | None
    ) -> tuple[float, ...]:
        """Returns one static factor per term.

        Args:
            scale: A weighting's `scale`: one factor per term, or a mapping from names of terms and
                groups to factors. The factors of a term and of its group are multiplied.

        Raises:
            ValueError: If the number of factors is not the number of terms, or a name is unknown.
        """
        if scale is None:
            return (1.0,) * len(self.terms)
        if not isinstance(scale, Mapping):
            check_length("scale", scale, self.terms)
            return tuple(scale)
        positions = dict(zip(self.names, self.members, strict=True))
        positions |= {term.name: (i,) for i, term in enumerate(self.terms)}
        factors = [1.0] * len(self.terms)
        for name, factor in scale.items():
            if name not in positions:
                raise unknown_name("loss term or group in scale", name, positions)
            for i in positions[name]:
                factors[i] *= factor
        return tuple(factors)


def group_terms(terms: Sequence[Term], loss_groups: LossGroups | None = None) -> TermGroups:
    """Divides the loss terms into groups.

    By default all residuals together are the reference, and each condition is a group. Where there
    are no residuals, there is no reference.

    Args:
        terms: The loss terms, residuals first.
        loss_groups: Mapping from a group's name to its terms: IC/BC objects, their positions
            among the IC/BC objects, or names of terms. Every condition must be named once, unless
            there are none but the following keys, which leave each other condition a group of its
            own. The key ``"pde"`` takes positions of the residuals that make up the reference;
            residuals not named there become condition groups. Where there are no residuals, the
            key ``"reference"`` takes the conditions that are the reference. The key
            ``"unweighted"`` takes the conditions that stay at weight 1.

    Raises:
        TypeError: If `loss_groups` is no mapping.
        ValueError: If a group is empty or names an unknown term, if a term is in two groups, if a
            condition is in none, or if the name of a group is taken.
    """
    terms = tuple(terms)
    num_residuals = sum(term.condition is None for term in terms)
    residuals = range(num_residuals)
    if loss_groups is None:
        conditions = [(terms[i].name, (i,)) for i in range(num_residuals, len(terms))]
        return _assemble(terms, tuple(residuals), conditions, ())
    if not isinstance(loss_groups, Mapping):
        raise TypeError(
            f"loss_groups={loss_groups!r} is not allowed: give a mapping from a group's name to "
            'its conditions, e.g. {"bc": [bc_left, bc_right], "ic": [ic]}.'
        )
    owner: dict[int, str] = {}
    groups: dict[str, tuple[int, ...]] = {}
    for name, members in loss_groups.items():
        groups[name] = tuple(_position(terms, member, name) for member in _listed(members))
        if not groups[name] and name != UNWEIGHTED:
            raise ValueError(f"loss_groups[{name!r}] is empty.")
        for i in groups[name]:
            if i in owner:
                raise ValueError(
                    f"The loss term {terms[i].name} is named twice in loss_groups: in "
                    f"{owner[i]!r} and in {name!r}."
                )
            owner[i] = name
    missing = [i for i in range(num_residuals, len(terms)) if i not in owner]
    if groups.keys() <= {REFERENCE, CONDITIONS_AS_REFERENCE, UNWEIGHTED}:
        groups |= {terms[i].name: (i,) for i in missing}
    elif missing:
        raise ValueError(
            f"loss_groups names no group for {', '.join(terms[i].name for i in missing)}: every "
            f"condition must be named once ({UNWEIGHTED!r} lists those that stay at weight 1)."
        )
    unnamed = tuple(i for i in residuals if i not in owner)
    unweighted = groups.pop(UNWEIGHTED, ())
    if CONDITIONS_AS_REFERENCE in groups:
        if num_residuals:
            raise ValueError(
                f"loss_groups[{CONDITIONS_AS_REFERENCE!r}] is for problems without residuals: here "
                f"{REFERENCE!r} chooses the reference, among the residuals."
            )
        reference = groups.pop(CONDITIONS_AS_REFERENCE)
        return _assemble(terms, reference, groups.items(), unweighted, CONDITIONS_AS_REFERENCE)
    if REFERENCE not in groups:
        if num_residuals and not unnamed:
            raise ValueError(f"loss_groups leaves no residual for the reference {REFERENCE!r}.")
        return _assemble(terms, unnamed, groups.items(), unweighted)
    reference = groups.pop(REFERENCE)
    if any(terms[i].condition is not None for i in reference):
        raise ValueError(f"loss_groups[{REFERENCE!r}] takes residuals only, not conditions.")
    others = [(terms[i].name, (i,)) for i in unnamed]
    return _assemble(terms, reference, [*others, *groups.items()], unweighted)


def ungrouped(terms: Sequence[Term]) -> TermGroups:
    """Makes a group of each term, residuals included: a list of numbers weights each by itself."""
    terms = tuple(terms)
    return TermGroups(terms, tuple(t.name for t in terms), tuple((i,) for i in range(len(terms))))


def _assemble(
    terms: tuple[Term, ...],
    reference: tuple[int, ...],
    conditions: Iterable[tuple[str, tuple[int, ...]]],
    unweighted: tuple[int, ...],
    name_of_reference: str = REFERENCE,
) -> TermGroups:
    """Puts the reference before the condition groups; raises ValueError if a name is taken."""
    names = [name_of_reference] if reference else []
    members = [reference] if reference else []
    for name, group in conditions:
        if name in names:
            raise ValueError(f"There are two groups of the name {name!r}: name yours otherwise.")
        if name in (t.name for t in terms) and [terms[i].name for i in group] != [name]:
            raise ValueError(f"The group {name!r} has the name of a loss term: name it otherwise.")
        names.append(name)
        members.append(group)
    if not names:
        raise ValueError("loss_groups leaves nothing to weigh: all loss terms are unweighted.")
    return TermGroups(terms, tuple(names), tuple(members), unweighted)


def _listed(members: Any) -> list[Any]:
    return list(members) if isinstance(members, (list, tuple)) else [members]


def _position(terms: tuple[Term, ...], member: Any, group: str) -> int:
    """The position among all terms of one member of a group, as a user gave it."""
    where = f"loss_groups[{group!r}]"
    names = [term.name for term in terms]
    if isinstance(member, str):
        if member not in names:
            raise unknown_name(f"loss term in {where}:", member, names)
        return names.index(member)
    if isinstance(member, (int, np.integer)) and not isinstance(member, bool):
        what = "residuals" if group == REFERENCE else "conditions"
        positions = [
            i for i, t in enumerate(terms) if (t.condition is None) == (what == "residuals")
        ]
        if not positions:
            raise ValueError(
                f"{where} names position {member} of the {what}, but there are none. The loss "
                f"terms: {', '.join(names)}."
            )
        if not 0 <= member < len(positions):
            raise ValueError(
                f"{where} names position {member}, but there are {len(positions)} {what}: "
                f"{', '.join(names[i] for i in positions)}."
            )
        return positions[int(member)]
    for i, term in enumerate(terms):
        if member is not None and term.condition is member:
            return i
    raise ValueError(
        f"{where} names {member!r}, which is no condition of this problem. Its loss terms: "
        f"{', '.join(names)}."
    )
