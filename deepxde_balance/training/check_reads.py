"""Whether a model provides what a weighting reads."""

from __future__ import annotations

import deepxde as dde

from .._deepxde.batch import Batch, problem_of
from .._deepxde.few_points import at_few_points
from .._deepxde.no_trace import no_trace
from .._deepxde.sampled_points import unchanged_samplers
from ..terms.find_terms import checked_losses, counted_residuals
from ..weightings import Weighting
from ..weightings.base import Reads


def _losses_are_of_errors(data: dde.data.Data) -> bool:
    """Whether each loss is that of one term's errors at its points, as far as DeepXDE's code is."""
    if not isinstance(data, dde.data.PDE) or {"losses", "losses_train"} & set(vars(data)):
        return False
    known = (dde.data.PDE, dde.data.IDE, dde.data.FPDE)
    return type(data).losses is dde.data.PDE.losses and type(data).losses_train in [
        kind.losses_train for kind in known
    ]


def check_reads(
    model: dde.Model, weighting: Weighting, with_points: bool = False, in_passes: bool = False
) -> None:
    """Refuses a model that does not provide what a weighting reads.

    Args:
        model: A compiled model.
        weighting: The weighting.
        with_points: Whether there are point weightings beside it.
        in_passes: Whether the points are too many to be evaluated together.

    Raises:
        ValueError: If the weighting reads errors at points, but the losses are not made of such
            errors; or if there are point weights, but a loss is not "MSE".
    """
    data, name = model.data, weighting.called
    if weighting.reads.needs_errors and not _losses_are_of_errors(data):
        reference = "" if problem_of(data) else ', and loss_groups={"pde": [0]} for the reference'
        raise ValueError(
            f"{name} needs the errors at the points, which only dde.data.PDE, TimePDE, IDE, FPDE "
            f"and TimeFPDE tell, not {type(data).__name__} with losses of its own. Use "
            'loss_weights="equal"; with several terms, a strategy that reads none ("capu", '
            f'"db-kurtosis"){reference}.'
        )
    if with_points and not _losses_are_of_errors(data):
        raise ValueError(
            "point_weights needs the errors at the points, which only dde.data.PDE, TimePDE, IDE, "
            f"FPDE and TimeFPDE tell, not {type(data).__name__} with losses of its own: leave "
            "point_weights out."
        )
    if weighting.reads is not Reads.POINT_ERRORS and not with_points:
        return
    with no_trace(model.net), unchanged_samplers(data), counted_residuals(data):
        batch = Batch(*data.train_next_batch())
        loss_fn = at_few_points(
            data, batch, lambda points: checked_losses(model, points).loss_fn, in_passes
        )
    functions = [loss_fn] if callable(loss_fn) else list(loss_fn)
    if all(function is dde.losses.mean_squared_error for function in functions):
        return
    if with_points:
        raise ValueError(
            'point_weights weighs squared errors: compile with loss="MSE", or leave it out.'
        )
    raise ValueError(
        'Weights per point ("sa") weigh squared errors: compile with loss="MSE", or use "sa-term".'
    )
