"""Traces of the neural tangent kernel's diagonal blocks (Wang, Yu & Perdikaris 2022, eq. 3.5).

Their losses have equal numbers of points. DeepXDE's are means over unequal numbers, so the traces
are means too: the weight of a condition does not depend on how many points it happens to have.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .._deepxde.batch import Batch
from .base import GradientEngine

#: Points whose gradients are taken at once for an exact trace.
_CHUNK = 256


def kernel_traces(engine: GradientEngine, batch: Batch, exact: bool, probes: int = 1) -> Tensor:
    """tr K_ii / N_i of every group: the mean over its points of ||d e_p / d theta||^2.

    The traces of a group's terms are added up, each a mean over its own points.

    A static factor on a loss counts as one on its squared errors.

    Args:
        engine: Evaluates the errors; of a ``dde.data.PDE``.
        batch: The points.
        exact: Whether to differentiate at every point; or else to estimate the traces with
            vectors of random signs (Hutchinson), each in one backward for all groups.
        probes: How many such vectors.

    Returns:
        Shape (K,), detached.
    """
    if exact:
        return _exact(engine, batch)
    return torch.stack([_estimated(engine, batch) for _ in range(probes)]).mean(dim=0)


def _estimated(engine: GradientEngine, batch: Batch) -> Tensor:
    def signed_mean(term: int, errors: Tensor) -> Tensor:
        signs = torch.empty_like(errors).bernoulli_(0.5).mul_(2).sub_(1)
        scale = engine.scale[term]
        # The engine multiplies with the factor; the square of the gradient is to have it once.
        return (signs * errors).sum() / (errors.numel() * (scale if scale > 0 else 1.0)) ** 0.5

    computed = engine.gradients(batch, signed_mean)
    num_groups = len(engine.groups.names)
    return computed.of_network(num_groups).values.square().sum(dim=1)


def _exact(engine: GradientEngine, batch: Batch) -> Tensor:
    errors: dict[int, Tensor] = {}

    def take(term: int, error: Tensor) -> Tensor:
        errors[term] = error.reshape(-1)
        return error.sum()

    engine.losses(batch, take)
    parameters = engine.parameters().network
    of_terms = [
        _sum_of_squares(errors[i], parameters) / len(errors[i])
        for i in range(len(engine.groups.terms))
    ]
    return torch.stack([engine.scaled_sum(of_terms, row) for row in engine.groups.members])


def _sum_of_squares(errors: Tensor, parameters: list[Tensor]) -> Tensor:
    """The squared norm of the errors' Jacobian."""
    total = errors.new_zeros(())
    if not errors.requires_grad:
        return total
    for start in range(0, len(errors), _CHUNK):
        part = errors[start : start + _CHUNK]
        rows = torch.autograd.grad(
            part,
            parameters,
            grad_outputs=torch.eye(len(part), dtype=part.dtype, device=part.device),
            is_grads_batched=True,
            retain_graph=True,
            allow_unused=True,
        )
        total = total + sum(row.square().sum() for row in rows if row is not None)
    return total.detach()
