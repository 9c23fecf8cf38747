"""A `train_step` that a script makes itself, in which a strategy's weights have no effect."""

from __future__ import annotations

from ..gradients.choose import EngineAsked
from ..weightings import Equal, Fixed
from .step import TrainStep

_REMEDY = (
    "give a list of numbers, which DeepXDE multiplies its losses with, or leave loss_weights and "
    "point_weights out"
)


def check_class(name: str, step: TrainStep | None, asked: EngineAsked, several: bool) -> None:
    """Refuses what has no effect where a class's own `train_step` trains.

    Args:
        name: The name of the class.
        step: The step for the arguments of `compile`, which will not train.
        asked: What was asked of the gradient engine.
        several: Whether several processes train together.

    Raises:
        ValueError: If there is anything of that kind.
    """
    own = f"{name} makes a `train_step` of its own when it is compiled"
    if step is not None and not deepxde_weighs_alike(step):
        raise ValueError(f"{own}: {_lost(step)} would have no effect; {_REMEDY}.")
    for key, value in (("gradient_engine", asked.name), ("points_per_pass", asked.points_per_pass)):
        if value is not None:
            raise ValueError(f"{own}: {key}={value!r} would have no effect. Leave it out.")
    if several:
        raise ValueError(f"{own}, and several processes can't share it.")


def check_replacement(step: TrainStep) -> None:
    """Refuses a function in the place of a step, which has not called the step.

    Raises:
        RuntimeError: If the step has weights that DeepXDE's losses do not have.
    """
    if not deepxde_weighs_alike(step):
        raise RuntimeError(
            "model.train_step is a function that has not called the one that it has replaced: "
            f"{_lost(step)} would have no effect. Call the replaced one in it, or {_REMEDY}."
        )


def deepxde_weighs_alike(step: TrainStep) -> bool:
    """Whether the losses that DeepXDE gives have all that the step brings into them."""
    return isinstance(step.weighting, (Equal, Fixed)) and step.points is None


def _lost(step: TrainStep) -> str:
    if step.rules_beside:
        return "the point weights"
    return f"the weights of {step.weighting.called}"
