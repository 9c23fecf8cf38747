"""Traces of the neural tangent kernel's diagonal blocks (Wang, Yu & Perdikaris 2022, eq. 3.5).

Their losses have equal numbers of points. DeepXDE's are means over unequal numbers, so the traces
are means too: the weight of a condition does not depend on how many points it happens to have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from .._deepxde.batch import Batch
from .base import GradientEngine, LinearMeasure

#: For exact traces, gradients of this many errors are computed at once.
_CHUNK = 256


#: From the errors of all terms to errors times the roots of their points' weights.
Weigh = Callable[[Mapping[int, Tensor]], Mapping[int, Tensor]]


def kernel_traces(
    engine: GradientEngine,
    batch: Batch,
    exact: bool,
    probes: int = 1,
    weigh: Weigh | None = None,
) -> Tensor:
    """Returns tr K_ii / N_i of every group: the mean over its points of ||d e_p / d theta||^2.

    The traces of a group's terms are added up, each a mean over its own points.

    A static factor on a term's loss multiplies its squared errors, and so its part of the trace.

    Args:
        engine: The engine of a model on a ``dde.data.PDE``; it evaluates the errors.
        batch: The points.
        exact: Whether to differentiate at every point. Otherwise the traces are estimated with
            vectors of random signs (Hutchinson), each in one backward for all groups.
        probes: The number of random vectors.
        weigh: Weighs the errors with point weights, if there are any.

    Returns:
        The traces, shape (K,), detached.
    """
    weigh = weigh or dict
    if exact:
        return _exact(engine, batch, weigh)
    return torch.stack([_estimated(engine, batch, weigh) for _ in range(probes)]).mean(dim=0)


def _estimated(engine: GradientEngine, batch: Batch, weigh: Weigh) -> Tensor:
    """One estimate of the traces: the squared gradients of randomly signed means of the errors."""

    def signed_mean(term: int, errors: Tensor) -> Tensor:
        signs = torch.empty_like(errors).bernoulli_(0.5).mul_(2).sub_(1)
        # The engine multiplies with the factor; the square of the gradient is to have it once.
        factor: float = engine.scale[term] if engine.scale[term] > 0 else 1.0
        mean: Tensor = (signs * errors).sum() / (errors.numel() * factor) ** 0.5
        return mean

    def signed_means(errors: Mapping[int, Tensor]) -> dict[int, Tensor]:
        return {i: signed_mean(i, of_term) for i, of_term in weigh(errors).items()}

    # Point weights may be updated by the errors when they weigh them.
    measure = LinearMeasure(signed_means) if weigh is dict else signed_means
    computed = engine.gradients(batch, measure)
    num_groups = len(engine.groups.names)
    return computed.of_network(num_groups).values.square().sum(dim=1)


def _exact(engine: GradientEngine, batch: Batch, weigh: Weigh) -> Tensor:
    """The traces from the gradient of every error."""
    parameters = engine.parameters().network
    squares: dict[int, Tensor] = {}
    numbers: dict[int, int] = {}
    for errors in engine.errors_in_turn(batch, None if weigh is dict else weigh):
        for i, of_term in errors.items():
            more = _sum_of_squares(engine.own_errors(i, of_term).reshape(-1), parameters)
            squares[i] = squares[i] + more if i in squares else more
            numbers[i] = numbers.get(i, 0) + of_term.numel()
    means = [squares[i] / numbers[i] for i in range(len(engine.groups.terms))]
    of_groups = [engine.scaled_sum(means, row) for row in engine.groups.members]
    return engine.add_up(torch.stack(of_groups))


def _sum_of_squares(errors: Tensor, parameters: list[Tensor]) -> Tensor:
    """The squared Frobenius norm of the errors' Jacobian, shape (), detached."""
    total = errors.new_zeros(())
    if not errors.requires_grad:
        return total
    for start in range(0, len(errors), _CHUNK):
        rows = _jacobian(errors[start : start + _CHUNK], parameters)
        total = total + sum(row.square().sum() for row in rows if row is not None)
    return total.detach()


def _jacobian(errors: Tensor, parameters: list[Tensor]) -> Iterable[Tensor | None]:
    """The gradients of the errors, in any order and shape; ``None`` for an unused parameter."""
    try:
        return torch.autograd.grad(
            errors,
            parameters,
            grad_outputs=torch.eye(len(errors), dtype=errors.dtype, device=errors.device),
            is_grads_batched=True,
            retain_graph=True,
            allow_unused=True,
        )
    except RuntimeError:  # an operation without a batched form, such as a sparse product
        return [
            gradient
            for error in errors
            for gradient in torch.autograd.grad(
                error, parameters, retain_graph=True, allow_unused=True
            )
        ]
