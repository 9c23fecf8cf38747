"""What a problem of the suite is made of, and how its error is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

OnArrays = Callable[[np.ndarray], np.ndarray]
OnTensors = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Setup:
    """A problem, ready for ``Model(setup.data, setup.net)``.

    Args:
        data: DeepXDE's data object, with fixed points.
        net: The network, untrained.
        points: Where the error is measured, shape (N, d).
        solution: From points (N, d) to the solution's values (N, k).
        exact: The closed form, if there is one: from a tensor of points (N, d) to all outputs.
        compared: The k outputs of the network that `solution` gives. None stands for all.
        compile: More arguments of ``Model.compile``.
        variables: The unknowns of an inverse problem.
        true_values: What they are to become.
        callbacks: For ``Model.train``.
    """

    data: dde.data.Data
    net: dde.nn.NN
    points: np.ndarray
    solution: OnArrays
    exact: OnTensors | None = None
    compared: Sequence[int] | None = None
    compile: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Tensor] = field(default_factory=dict)
    true_values: Mapping[str, float] = field(default_factory=dict)
    callbacks: Sequence[dde.callbacks.Callback] = ()

    def error(self, model: dde.Model) -> float:
        """The relative L2 error over `points`, all compared outputs together."""
        predicted = model.predict(self.points)
        if self.compared is not None:
            predicted = predicted[:, list(self.compared)]
        true = self.solution(self.points)
        return float(np.linalg.norm(predicted - true) / np.linalg.norm(true))

    def identified_error(self) -> float | None:
        """The mean relative error of the variables now; None where there are none."""
        if not self.variables:
            return None
        errors = [
            abs(float(self.variables[name].detach()) - true) / abs(true)
            for name, true in self.true_values.items()
        ]
        return sum(errors) / len(errors)


def on_arrays(exact: OnTensors) -> OnArrays:
    """A function of tensors as one of NumPy arrays, in double precision."""

    def solution(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return exact(torch.as_tensor(x, dtype=torch.float64, device="cpu")).numpy()

    return solution


def grid(low: Sequence[float], high: Sequence[float], size: int) -> np.ndarray:
    """`size` equispaced points in each direction, the boundary among them, shape (size^d, d)."""
    axes = [np.linspace(a, b, size) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(low))


def everywhere(_: np.ndarray, on: bool) -> bool:
    """The whole boundary, or all of the initial points."""
    return on
