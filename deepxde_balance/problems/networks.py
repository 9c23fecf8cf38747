"""The networks of the papers: initial parameters and scaling of the inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .sampling import Corner

Domain = tuple[Corner, Corner]
#: A function from a data object and its domain to the shift and the width, each of shape (d,):
#: the network's inputs are (x - shift) / width.
Scaling = Callable[[dde.data.PDE, Domain], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class NetworkSetup:
    """A tanh network with scaled inputs and initial biases of 0.

    Args:
        initializer: The initializer of the layers' weights, as for ``dde.nn.FNN``.
        scaling: The scaling of the inputs.
    """

    initializer: str | Callable[[Tensor], Any]
    scaling: Scaling

    def __call__(self, data: dde.data.PDE, domain: Domain, layers: list[int]) -> dde.nn.FNN:
        """A new network.

        Args:
            data: The data object, whose points the scaling may use.
            domain: Lower and upper corner of the domain.
            layers: Width of each layer, inputs and outputs included.
        """
        net = dde.nn.FNN(layers, "tanh", self.initializer)
        real = dde.config.real(np)
        shift, width = (torch.as_tensor(a.astype(real)) for a in self.scaling(data, domain))
        net.apply_feature_transform(lambda x: (x - shift) / width)
        return net


def to_standard(data: dde.data.PDE, domain: Domain) -> tuple[np.ndarray, np.ndarray]:
    """Scales the residual points to mean 0 and standard deviation 1."""
    return data.train_x_all.mean(axis=0), data.train_x_all.std(axis=0)


def to_unit_box(data: dde.data.PDE, domain: Domain) -> tuple[np.ndarray, np.ndarray]:
    """Scales the domain to [-1, 1] in each direction."""
    low, high = np.array(domain[0]), np.array(domain[1])
    return (low + high) / 2, (high - low) / 2


def as_they_are(data: dde.data.PDE, domain: Domain) -> tuple[np.ndarray, np.ndarray]:
    """Leaves the inputs as they are."""
    return np.zeros(len(domain[0])), np.ones(len(domain[0]))


def xavier_normal(weight: Tensor) -> None:
    """Initializes a layer's weight Xavier-normal with the gain of tanh, 5/3."""
    torch.nn.init.xavier_normal_(weight, gain=5 / 3)


#: The networks of Zhou et al. 2025.
DB_SETUP = NetworkSetup(xavier_normal, to_standard)
#: The networks of Deguchi & Asai 2023, sec. 4.
DN_SETUP = NetworkSetup("Glorot normal", to_unit_box)
#: The network of a plain DeepXDE script, of no paper.
PLAIN_SETUP = NetworkSetup("Glorot normal", as_they_are)
