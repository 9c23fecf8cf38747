"""ConFIG: the direction in which all losses fall at the same relative rate."""

from __future__ import annotations

import torch
from torch import Tensor

from .averages import usable
from .base import FromGradients, Scale
from .group_gradients import GroupGradients


class ConFIG(FromGradients):
    """Weights whose sum of gradients has the same positive cosine with every gradient.

    Liu, Chu & Thuerey 2024, "ConFIG: Towards conflict-free training of physics informed neural
    networks", eq. 2. With the unit gradients u_i as rows of U, v = U^+ 1 and v^ = v/||v||, the
    update is (sum_j g_j . v^) v^. As U^+ = U^T (U U^T)^+, it is a sum over the gradients:

        c = (U U^T)^+ 1,   lambda_i = (sum_j g_j . v^) c_i / (||v|| ||g_i||)

    Weights can be negative: where gradients are alike, one of them may have to be taken back.
    Covers the reference too, and takes an update at every iteration. A group whose gradient is 0
    or not finite keeps its last weight and is no part of the direction; all do if there is no
    conflict-free direction or a loss is not finite. On a GPU, the eigenvalues of the K x K
    matrix U U^T have the host wait for them.

    Args:
        update_every: Iterations from one update to the next.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is out of its range.
    """

    may_be_negative = True

    def __init__(self, update_every: int = 1, scale: Scale | None = None):
        super().__init__(update_every, scale)

    def update(self, losses: Tensor, gradients: GroupGradients) -> None:
        norms = gradients.norm(2)
        taken = usable(norms) & losses.isfinite().all()
        units = torch.where(taken.unsqueeze(1), gradients.values / norms.unsqueeze(1), 0.0)
        cosines = units @ units.T
        coefficients = torch.linalg.pinv(cosines, hermitian=True).sum(dim=1)
        along = cosines @ coefficients  # u_i . v
        length = torch.where(taken, norms * along, 0.0).sum()  # sum_j g_j . v
        weights = coefficients * length / (torch.dot(coefficients, along) * norms)
        updated = taken & weights.isfinite()
        self.weights = torch.where(updated, weights, self.weights)
        self.note_updated(updated)
