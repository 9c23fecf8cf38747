"""The numbers that tell whether groups of loss terms are balanced."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from .observation import Observation


class Measures(NamedTuple):
    """Losses, gradient norms, weights and cosines of K groups, on the host.

    Args:
        names: Names of the groups.
        losses: The losses L_i, without weights, with static factors, shape (K,).
        norms: The 2-norms ||g_i|| of the gradients of these losses, shape (K,).
        weights: The weights lambda_i, shape (K,), see
            :class:`~deepxde_balance.diagnostics.observation.Observation`.
        cosines: The cosine between each two gradients, shape (K, K); nan if one of them is 0.
    """

    names: tuple[str, ...]
    losses: np.ndarray
    norms: np.ndarray
    weights: np.ndarray
    cosines: np.ndarray

    @property
    def weighted_norms(self) -> np.ndarray:
        """||lambda_i g_i||, shape (K,)."""
        norms: np.ndarray = np.abs(self.weights) * self.norms
        return norms

    @property
    def shares(self) -> np.ndarray:
        """||lambda_i g_i|| / sum_j ||lambda_j g_j||, shape (K,); nan if all are 0."""
        with np.errstate(invalid="ignore"):
            shares: np.ndarray = self.weighted_norms / self.weighted_norms.sum()
        return shares


def measure(observation: Observation) -> Measures:
    """Computes the measures of an observation, in double precision."""
    names, losses, gradients, weights = observation
    norms = gradients.norm(2)
    units = gradients.values / norms.unsqueeze(1)
    cosines = (units @ units.T).clamp(-1, 1)
    rows = torch.cat([torch.stack([losses, norms, weights]).to(cosines), cosines])
    numbers = rows.cpu().double().numpy()  # one copy to the host, as each waits for the device
    return Measures(names, numbers[0], numbers[1], numbers[2], numbers[3:])


def rounded(ratio: float) -> str:
    """A ratio to two digits, for messages: 350, not 3.5e+02."""
    return f"{float(f'{ratio:.2g}'):g}"
