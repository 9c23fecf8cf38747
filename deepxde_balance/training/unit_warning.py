"""A warning of loss terms in other units, which the strategy was not told of by `scale`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from ..terms.groups import TermGroups
from ..weightings import Weighting
from ..weightings.base import Reads
from .units import apart, in_words, unit_factors, with_present

#: Sizes that differ by more are told. The sizes at hand in training are coarser than the kernel's
#: traces that `diagnose` reads, so it is larger than `OTHER_UNITS`. The number is a convention.
TOLD_BEYOND = 1e10


class UnitWarning:
    """Warns once, after the first update, of terms in other units.

    The size of a group is taken where the strategy reads gradients from |g|^2 / (4 L), a lower
    bound of its kernel's trace, by Cauchy and Schwarz (g = 2 mean(e de), L = mean(e^2)): a
    condition that is met has a small loss and gradient, but the size of its units. Where it reads
    the traces, it is these, and where it reads losses alone, the losses. A term's size is its
    share in the loss of its group times the group's size.

    Args:
        weighting: The weighting.
        groups: The groups that it weighs.
        scale: One static factor per term.
    """

    def __init__(self, weighting: Weighting, groups: TermGroups, scale: Sequence[float]):
        self._weighting = weighting
        self._groups = groups
        self._scale = dict(zip((term.name for term in groups.terms), scale, strict=True))
        #: What the first update read, on its device.
        self._losses: Tensor | None = None
        self._largest_entries: Tensor | None = None
        self._traces: Tensor | None = None
        self._told = not weighting.dynamic

    @property
    def wants(self) -> bool:
        """Whether what the coming update reads is to be noted."""
        return not self._told and self._weighting.iteration == 0

    def note(self, losses: Tensor, largest_entries: Tensor) -> None:
        """Notes the groups' losses and their gradients' entries of largest size, shape (K,)."""
        self._losses, self._largest_entries = losses, largest_entries

    def note_traces(self, traces: Tensor) -> None:
        """Notes the groups' kernel traces, shape (K,)."""
        self._traces = traces

    def warn(self, record: Sequence[float]) -> None:
        """Gives the warning if it is due. Copies to the host.

        Args:
            record: The losses of the terms at the first record, in the units of the strategy.
        """
        if self._told or self._weighting.iteration == 0:
            return
        self._told = True
        reads_losses = self._weighting.reads in (Reads.LOSSES, Reads.POINT_ERRORS)
        if not reads_losses and self._losses is None and self._traces is None:
            return  # the first update was in a run that was restored
        sizes = self._sizes(record)
        self._losses = self._largest_entries = self._traces = None
        if not apart(sizes.values(), TOLD_BEYOND):
            return
        small, large = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
        factors = with_present(unit_factors(sizes, TOLD_BEYOND), self._scale)
        times = f"{10.0 ** round(math.log10(sizes[large] / sizes[small])):.0e} times"
        if reads_losses or self._share_a_group(small, large):
            what = (
                f"the loss of {small!r} is about {times} smaller than that of {large!r}. If the "
                f"units are the reason and {small!r} is not just met, give"
            )
        else:
            what = (
                f"a change of the parameters changes {small!r} about {times} less than {large!r} "
                f"(squares). {self._where_met(small)}give"
            )
        warnings.warn(
            f"Terms seem to be in other units: {what} the strategy {in_words(factors)}, which "
            "makes them alike. Without it the weights, or the sum of losses by which the best step "
            "is chosen, follow the units.",
            stacklevel=5,
        )

    def _sizes(self, record: Sequence[float]) -> dict[str, float]:
        """The size of each term by name; those that are 0 or not finite are left out."""
        losses = {term.name: float(x) for term, x in zip(self._groups.terms, record, strict=False)}
        sizes = dict(losses)
        of_groups = self._group_sizes()
        for k, members in enumerate(self._groups.members):
            names = [self._groups.terms[i].name for i in members]
            total = sum(losses[name] for name in names)
            for name in names:
                if of_groups is not None:
                    share = losses[name] / total if total > 0 else math.nan
                    sizes[name] = of_groups[k] * (share if len(names) > 1 else 1.0)
        for i in self._groups.unweighted:
            del sizes[self._groups.terms[i].name]
        return {name: size for name, size in sizes.items() if 0 < size < math.inf}

    def _group_sizes(self) -> list[float] | None:
        if self._traces is not None:
            traces: list[float] = self._traces.tolist()
            return traces
        if self._losses is None or self._largest_entries is None:
            return None
        read = torch.stack([self._losses, self._largest_entries.to(self._losses)]).tolist()
        return [g**2 / (4 * loss) if loss > 0 else math.nan for loss, g in zip(*read, strict=True)]

    def _where_met(self, name: str) -> str:
        """What to do where a condition is small because the network meets it by construction."""
        if all(term.condition is None for term in self._groups.terms if term.name == name):
            return "If the units are the reason, "
        return (
            f"If {name!r} is met by construction (hard constraint), its loss is nothing but "
            "rounding, which a strategy weighs all the same: leave the condition out, or give "
            f'loss_groups={{"unweighted": [{name!r}]}}. Else '
        )

    def _share_a_group(self, *names: str) -> bool:
        return any(
            {self._groups.terms[i].name for i in members} >= {*names}
            for members in self._groups.members
        )
