"""Point weights of one's own: an array, or a function of the points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .base import PointState, PointWeighting


class FixedPoints(PointWeighting):
    """Point weights that are given: an array, or a function of the points.

    Args:
        values: One number per point of a term, in the order of DeepXDE's points; or a function of
            the points, a NumPy array of shape (N, d), which returns N numbers. An array is for
            points that stay. A function is called when points change.

    Raises:
        ValueError: If a weight is negative or not finite. At compile: if there is not one weight
            per point, or an array is given for several terms. In training: if an array's points
            are resampled.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> early = ddb.FixedPoints(lambda t: 1 / (1 + t[:, 0]))
        >>> model.compile("adam", lr=1e-3, point_weights={"pde": early}, verbose=0)
    """

    dynamic = False

    def __init__(self, values: Any):
        super().__init__()
        self._function: Callable[[np.ndarray], Any] | None = values if callable(values) else None
        self._values = None if callable(values) else _checked(values, "point_weights")

    def check(self, term: int, points: Tensor) -> None:
        if self._values is not None and len(self._terms) > 1:
            names = ", ".join(t.name for t in self._terms.values())
            raise ValueError(
                f"An array of point weights is of one term, not of {names}: give a mapping from "
                "the term's name to the array, or a function of the points."
            )
        self._numbers(term, points)

    def fresh(self, term: int, points: Tensor) -> PointState:
        numbers = self._numbers(term, points)
        return {"w": torch.as_tensor(numbers, dtype=points.dtype, device=points.device)}

    def weights_of(self, state: PointState) -> Tensor:
        return state["w"]

    def update(self, errors: Mapping[int, Tensor]) -> None:
        """Does nothing."""

    def carry_over(self, term: int, points: Tensor, old: Tensor) -> None:
        if self._values is None:
            self.start(term, points)
            return
        new = int((old < 0).sum())
        if new:
            raise ValueError(
                f"The point weights of {self._terms[term].name} are an array, but {new} of its "
                f"{len(old)} points are new: give a function of the points where points are "
                "resampled."
            )
        self.set_state(term, {"w": self.state(term)["w"][old]})

    def state_dict(self) -> dict[str, Any]:
        given = None if self._values is None else torch.from_numpy(self._values.copy())
        return super().state_dict() | {"given": given}

    def differing_terms(self, state: Mapping[str, Any], points: Mapping[int, Tensor]) -> list[str]:
        """Compares a saved state with the weights that were given to `compile`.

        Args:
            state: What :meth:`state_dict` returned for the saved weights.
            points: For each term the points that they belong to.

        Returns:
            The names of terms whose saved weights are others.
        """
        saved = {i: of_term["w"] for i, of_term in state["points"].items()}
        if self._values is None:
            return [
                self._terms[i].name
                for i, weights in saved.items()
                if not np.allclose(self._numbers(i, points[i]), weights.cpu().numpy())
            ]
        given = state.get("given")  # an array's weights may have changed places since
        same = given is not None and np.array_equal(self._values, given.cpu().numpy())
        return [] if same or "given" not in state else [self._terms[i].name for i in saved]

    def _numbers(self, term: int, points: Tensor) -> np.ndarray:
        """The weights of a term's points, one for each."""
        where = f"point_weights of {self._terms[term].name}"
        if self._function is None:
            assert self._values is not None
            numbers = self._values
        else:
            numbers = _checked(self._function(points.cpu().numpy()), where)
        if len(numbers) != len(points):
            raise ValueError(
                f"{where} has {len(numbers)} numbers, but there are {len(points)} points: give "
                "one for each."
            )
        return numbers


def _checked(values: Any, where: str) -> np.ndarray:
    """The weights as an array of shape (N,)."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    try:
        given = np.asarray(values)
        if given.dtype.kind in "cSU":  # NumPy would drop imaginary parts, and read texts
            raise TypeError(f"numbers of type {given.dtype}")
        numbers = np.array(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{where} is not allowed: give one number per point.") from error
    if numbers.ndim == 2 and numbers.shape[1] == 1:
        numbers = numbers[:, 0]
    if numbers.ndim != 1:
        raise ValueError(
            f"{where} of shape {numbers.shape} is not allowed: give one number per point."
        )
    wrong = np.flatnonzero(~np.isfinite(numbers) | (numbers < 0))
    if len(wrong):
        raise ValueError(
            f"{where} is {numbers[wrong[0]]} at point {wrong[0]}: weights must be finite and not "
            "negative."
        )
    return numbers
