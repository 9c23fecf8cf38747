"""What one look at a model finds: which side is small, what is met, few points, other units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ..terms.groups import TermGroups
from ..training.units import OTHER_UNITS, apart, in_words, unit_factors, with_present
from .measures import Measures, rounded

#: Gradient norms within this factor of each other are called balanced: Adam's first steps then
#: lower all losses. The number is a convention.
BALANCED_WITHIN = 10.0

#: Gradient norms beyond this factor are called unbalanced: the weaker term then adds less than a
#: hundredth to the direction of the first steps. The number is a convention.
STARVED_BEYOND = 100.0

#: A condition is called met when its loss is below this fraction of its kernel's trace: a change of
#: the parameters by 1e-4 would then remove the loss. The number is a convention.
MET = 1e-8

#: A condition of at most so many points has few. The number is a convention.
FEW_POINTS = 4

#: The residual has many points when it has more than so many times those of the condition.
MANY_TIMES = 10


@dataclass(frozen=True)
class Findings:
    """What was found at K loss terms or groups, the rows of the table.

    Args:
        measures: Losses, gradient norms and weights of the rows.
        ratios: Weighted gradient norms over that of the reference, shape (K,).
        points: The number of points of each row, ``None`` where it is not known.
        reference: The rows of the reference.
        terms: For each row the names of its terms.
        traces: The kernel's traces by term, without weights, means over the points; ``None`` where
            the losses are not computed from errors at points.
        residual_known: Whether the reference consists of PDE residuals.
        present: The static factors of the terms, by name, that are in all of these.
        hard: The terms that the network fixes by construction, with the size of their errors.
    """

    measures: Measures
    ratios: np.ndarray
    points: tuple[int | None, ...]
    reference: tuple[int, ...]
    terms: tuple[tuple[str, ...], ...]
    traces: Mapping[str, float] | None
    residual_known: bool = True
    present: Mapping[str, float] = field(default_factory=dict)
    hard: Mapping[str, float] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return self.measures.names

    @cached_property
    def finite(self) -> np.ndarray:
        """Whether loss and gradient of each row are finite, shape (K,)."""
        finite: np.ndarray = np.isfinite(self.measures.losses + self.measures.weighted_norms)
        return finite

    @cached_property
    def to_learn(self) -> np.ndarray:
        """Whether each row has a term that is not fixed by construction, shape (K,)."""
        return np.array([not self.hard.keys() >= {*own} for own in self.terms])

    @cached_property
    def sizes(self) -> dict[str, float]:
        """What tells a term's units: its trace, or else its loss. Terms without are left out."""
        found = self.traces
        if found is None:
            losses = zip(self.terms, self.measures.losses.tolist(), strict=True)
            found = {own[0]: loss for own, loss in losses if len(own) == 1}
        return {
            name: size
            for name, size in found.items()
            if 0 < size < math.inf and name not in self.hard
        }

    @cached_property
    def factors(self) -> dict[str, float]:
        """Powers of ten that give the losses of terms in other units the units of most others.

        Where there are any, the present factors are in them.
        """
        if not apart(self.sizes.values(), OTHER_UNITS):
            return {}
        return with_present(unit_factors(self.sizes, OTHER_UNITS), self.present)

    def apart_within(self, groups: TermGroups) -> set[str]:
        """The terms of the groups whose own terms, which share a weight, are in other units."""
        found: set[str] = set()
        for members in groups.members:
            own = {groups.terms[i].name for i in members} & self.sizes.keys()
            if apart((self.sizes[name] for name in own), OTHER_UNITS):
                found |= own
        return found

    def larger_than_reference(self, factor: float = 1.0) -> list[str]:
        """The conditions whose weighted gradient is more than so many times the reference's."""
        return [self.names[k] for k in self._in_like_units if self.ratios[k] > factor]

    def starved(self) -> bool:
        """Whether a condition's weighted gradient is tiny beside the reference's."""
        return any(0 < self.ratios[k] < 1 / STARVED_BEYOND for k in self._in_like_units)

    def any_condition_learnable(self) -> bool:
        """Whether a parameter of the network changes at least one condition."""
        rows = [k for k in np.flatnonzero(self.to_learn) if k not in self.reference]
        if self.traces is None:
            return any(self.measures.norms[k] != 0 or self.measures.losses[k] == 0 for k in rows)
        return any(self.traces[name] != 0 for k in rows for name in self.terms[k])

    def sentences(self) -> list[str]:
        """What was found: what is broken, then the comparison of the gradients, then the rest."""
        found = [*self._broken(), *self._hard(), *self._balance(), *self._without_gradient()]
        if self.residual_known and self.finite.all():
            found += [*self._other_units(), *self._small_side(), *self._met(), *self._few_points()]
        return found

    @cached_property
    def _conditions(self) -> list[int]:
        """The rows besides the reference that have a weight and can be compared with it."""
        if not self.residual_known:
            return []
        others = (k for k in range(len(self.names)) if k not in self.reference)
        usable = self.finite & self.to_learn & (self.measures.weights != 0)
        return [k for k in others if usable[k]]

    @cached_property
    def _in_like_units(self) -> list[int]:
        """The conditions whose gradients say something beside the reference's."""
        if self.traces is None:
            return self._conditions
        reference = self._trace(self.reference)
        traces = {k: self._trace([k]) for k in self._conditions}
        return [
            k for k, own in traces.items() if own == 0 or not apart([reference, own], OTHER_UNITS)
        ]

    def _trace(self, rows: Sequence[int]) -> float:
        """The trace of rows together; their terms' traces are added up, as their losses are."""
        return sum(self.sizes.get(name, 0.0) for k in rows for name in self.terms[k])

    def _broken(self) -> list[str]:
        wrong = [name for name, ok in zip(self.names, self.finite, strict=True) if not ok]
        if not wrong:
            return []
        return [
            f"Broken: the loss or gradient of {', '.join(wrong)} is not finite. Look for a "
            "division by 0, or the root or logarithm of a negative number."
        ]

    def _hard(self) -> list[str]:
        if not self.hard:
            return []
        names = [f"{name} (errors of {size:.0e})" for name, size in self.hard.items()]
        return [
            f"Fixed by construction (hard constraint): {listed(names)}. Whatever the parameters "
            "are, the errors change by rounding only: strategies leave such terms at weight 1."
        ]

    def _balance(self) -> list[str]:
        norms = self.measures.weighted_norms
        compared = np.flatnonzero(self.finite & self.to_learn & (norms > 0))
        if len(compared) < 2:
            return ["There are no two terms to balance."]
        weak = compared[norms[compared].argmin()]
        strong = compared[norms[compared].argmax()]
        factor = norms[strong] / norms[weak]
        if factor <= BALANCED_WITHIN:
            return [
                f"Balanced: gradient norms within a factor of {BALANCED_WITHIN:g}. That decides "
                "nothing, and may change in training: ddb.GradientMonitor shows it."
            ]
        smaller = (
            f"{self.names[weak]}'s gradient is {rounded(factor)} times smaller than "
            f"{self.names[strong]}'s"
        )
        if factor <= STARVED_BEYOND:
            return [f"Uneven: {smaller}."]
        return [f"Unbalanced: {smaller}: with these weights it will be learned last."]

    def _without_gradient(self) -> list[str]:
        sentences = []
        without = self.finite & self.to_learn & (self.measures.weighted_norms == 0)
        for k in np.flatnonzero(without):
            name = self.names[k]
            if self.measures.weights[k] == 0:
                sentences.append(f"{name} has weight 0: it is not trained.")
            elif self.measures.losses[k] == 0:
                sentences.append(f"{name} is met exactly already: its loss and gradient are 0.")
            else:
                sentences.append(
                    f"{name}'s gradient is 0: no trainable parameter of the network changes it "
                    "(frozen layers, an output transform that fixes it, or it depends on external "
                    "variables alone)."
                )
        return sentences

    def _other_units(self) -> list[str]:
        if not self.factors:
            return []
        small = min(self.sizes, key=self.sizes.__getitem__)
        large = max(self.sizes, key=self.sizes.__getitem__)
        times = f"{10.0 ** round(math.log10(self.sizes[large] / self.sizes[small])):.0e} times"
        factors = in_words(self.factors)
        if self.traces is None:
            return [
                f"Other units, or met: {small}'s loss is about {times} smaller than {large}'s. "
                f"If the units are the reason, {factors} gives the losses like ones."
            ]
        return [
            f"Other units: a change of the parameters changes {small} about {times} less than "
            f"{large} (squares, by the kernel's traces). {factors} gives the losses like "
            'units; "auto" needs that only for terms that share a weight.'
        ]

    def _small_side(self) -> list[str]:
        sentences = []
        beside = self.larger_than_reference(BALANCED_WITHIN)
        if beside:
            sentences.append(
                f"The residual is the small side beside {listed(beside)}, at a network that need "
                "not be near a solution. Rules that compare gradients (gw-*, dn*, db-*) would give "
                f"{listed(self.larger_than_reference())} weights below 1, and may let go of them."
            )
        weak = [k for k in self._in_like_units if 0 < self.ratios[k] < 1 / BALANCED_WITHIN]
        if weak:
            times = [f"{self.names[k]} ({rounded(1 / self.ratios[k])} times)" for k in weak]
            sentences.append(f"Conditions are the small side beside the residual: {listed(times)}.")
        return sentences

    def _met(self) -> list[str]:
        losses, sentences = self.measures.losses, []
        exactly = [k for k in self._conditions if losses[k] == 0]
        nearly = [
            k for k in self._conditions if self.traces and 0 < losses[k] < MET * self._trace([k])
        ]
        if nearly:
            sentences.append(
                f"As good as met already: {listed([self.names[k] for k in nearly])}. A change of "
                f"the parameters by {MET**0.5:g} would remove the loss."
            )
        if exactly or nearly:
            sentences.append(
                "Rules that compare gradients find no usable gradient in a condition that is met, "
                "or drive it on."
            )
        return sentences

    def _few_points(self) -> list[str]:
        many = self.points[self.reference[0]]
        if many is None:
            return []
        few = [
            f"{self.names[k]} ({number})"
            for k in self._conditions
            if (number := self.points[k]) is not None
            and number <= FEW_POINTS
            and many > MANY_TIMES * number
        ]
        if not few:
            return []
        return [
            f"Few points: {listed(few)}, beside {many} of the residual. A loss is a mean over its "
            "own points, so that needs no weight. But so few values can be met to the last digit, "
            "and rules that compare gradients then drive them on."
        ]


def listed(words: Sequence[str]) -> str:
    """Words in a sentence: "a", "a and b", "a, b and c"."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
