"""ConFIG: the direction in which all losses fall at the same relative rate."""

from __future__ import annotations

import torch
from torch import Tensor

from .averages import usable
from .base import Scale
from .group_gradients import GroupGradients
from .kinds import FromGradients
from .needs_closure import needs_closure


class ConFIG(FromGradients):
    """Weights whose sum of gradients has the same positive cosine with every gradient.

    Liu, Chu & Thuerey 2024, "ConFIG: Towards conflict-free training of physics informed neural
    networks", eq. 2. Let the rows of U be the unit gradients u_i, v = U^+ 1 and v^ = v/||v||. Then
    the update of the parameters is (sum_j g_j . v^) v^. As U^+ = U^T (U U^T)^+, that update is a
    weighted sum of the gradients:

        c = (U U^T)^+ 1,   lambda_i = (sum_j g_j . v^) c_i / (||v|| ||g_i||)

    The reference has such a weight too. Weights can be negative where gradients are alike. A group
    whose gradient is 0 or not finite keeps its last weight, and the direction v does not include
    it. If there is no conflict-free direction, or a loss is not finite, no weight is updated. On
    a GPU the host waits for the eigenvalues of the K x K matrix U U^T.

    Args:
        update_every: Iterations from one update to the next; the method's own is 1.
        scale: Static factors on the losses, see :class:`Weighting`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import deepxde_balance as ddb
        >>> model = ddb.problems.get("harmonic").model("equal", verbose=0)
        >>> model.compile("adam", lr=1e-3, loss_weights=ddb.ConFIG(), verbose=0)
    """

    needs_reference = False

    may_be_negative = True

    can_be_frozen = False

    def __init__(self, update_every: int = 1, scale: Scale | None = None):
        super().__init__(update_every, scale)

    def attach(self, optimizer: torch.optim.Optimizer) -> None:
        """Checks that the weights are not frozen within a step: a negative one would raise a loss.

        Raises:
            ValueError: If the optimizer evaluates the loss several times in a step (L-BFGS, NNCG).
        """
        if needs_closure(optimizer):
            raise ValueError(
                f"{type(self).__name__} gives weights for one iteration, which may be negative, "
                f"and {type(optimizer).__name__} minimises the loss with the same weights for "
                'many. Train with "adam", or take another strategy here.'
            )

    def update(self, losses: Tensor, gradients: GroupGradients) -> None:
        norms = gradients.norm(2)
        included = usable(norms) & losses.isfinite().all()
        units = torch.where(included.unsqueeze(1), gradients.values / norms.unsqueeze(1), 0.0)
        cosines = units @ units.T
        coefficients = torch.linalg.pinv(cosines, hermitian=True).sum(dim=1)  # c
        along = cosines @ coefficients  # u_i . v
        length = torch.where(included, norms * along, 0.0).sum()  # sum_j g_j . v
        squared_norm = torch.dot(coefficients, along)  # ||v||^2
        weights = coefficients * length / (squared_norm * norms)
        updated = included & weights.isfinite()
        self.weights = torch.where(updated, weights, self.weights)
        self.note_skipped(~updated)
