"""The gradients of one iteration: one row per group of loss terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class GroupGradients:
    """Gradients of the unweighted group losses, flattened, one row per group.

    A group's loss need not depend on every parameter. The row is 0 at a parameter that autograd
    calls unused, and the row's mean and moments leave that parameter out.

    Args:
        values: Tensor of shape (K, P): K groups (the reference first), P parameters.
        used: Boolean tensor of shape (K, P), False where the group's loss does not depend on
            the parameter; ``None`` if every group depends on every parameter.
        used_numbers: `used` as numbers 0 and 1 in the type of `values`, if they are known already.
        used_count: The number of True in each row of `used`, shape (K,), in the type of `values`,
            if it is known already.
    """

    values: Tensor
    used: Tensor | None = None
    used_numbers: Tensor | None = None
    used_count: Tensor | None = None

    @classmethod
    def from_rows(cls, rows: Sequence[Tensor]) -> GroupGradients:
        """From one gradient per group, each of shape (P,)."""
        return cls(torch.stack(list(rows)))

    @cached_property
    def count(self) -> Tensor | int:
        """Number of parameters that each group depends on: shape (K,), or one number for all."""
        if self.used is None:
            return self.values.shape[1]
        if self.used_count is None:
            return self.used.sum(dim=1).to(self.values)  # the type: mixed types cost a conversion
        return self.used_count

    @cached_property
    def _magnitudes(self) -> Tensor:
        return self.values.abs()

    @cached_property
    def _centred(self) -> Tensor:
        mean = (self.values.sum(dim=1) / self.count).unsqueeze(1)
        if self.used is None:
            return self.values - mean
        used = self.used.to(self.values) if self.used_numbers is None else self.used_numbers
        return torch.addcmul(self.values, used, mean, value=-1)  # 0 at unused parameters

    @cached_property
    def _std(self) -> Tensor:
        return (self._centred.square().sum(dim=1) / (self.count - 1)).sqrt_()

    def max_abs(self) -> Tensor:
        """Largest magnitude in each row, shape (K,)."""
        return self._magnitudes.amax(dim=1)

    def mean_abs(self) -> Tensor:
        """Mean magnitude of each row, shape (K,)."""
        return self._magnitudes.sum(dim=1) / self.count

    def norm(self, p: float) -> Tensor:
        """p-norm of each row, shape (K,)."""
        norms: Tensor = torch.linalg.vector_norm(self.values, ord=p, dim=1)
        return norms

    def std(self) -> Tensor:
        """Sample standard deviation (n - 1) of each row, shape (K,)."""
        return self._std

    def kurtosis(self) -> Tensor:
        """mean(((g - mean g) / s(g))^4) of each row, with s from :meth:`std`, shape (K,)."""
        standardised = self._centred / self._std.unsqueeze(1)
        return standardised.square_().square_().sum(dim=1) / self.count
