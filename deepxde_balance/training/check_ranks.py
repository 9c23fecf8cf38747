"""Checks of the ranks that train a model together: what they can share, and that they are alike."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from typing import Any

import deepxde as dde
import numpy as np
import torch

from .._deepxde.batch import Batch
from .._deepxde.nncg import is_nncg
from .._deepxde.sampled_points import unchanged_samplers
from ..gradients.across_ranks import AcrossRanks
from ..gradients.base import external_variables
from ..gradients.choose import reason_against
from ..ranks import Ranks
from .step import TrainStep

_SEED = (
    "Call dde.config.set_random_seed(0) on every rank before the data and the network are made, "
    "and let all ranks run the same script; no callback may change one rank alone."
)

#: Callbacks that look at this process's model and change nothing. A script may give them to one
#: rank alone.
_ONLY_LOOK = (
    "FirstDerivative",
    "ModelCheckpoint",
    "MovieDumper",
    "OperatorPredictor",
    "Progress",
    "VariableValue",
)


def refuse_what_ranks_cannot_share(model: dde.Model, optimizer: Any, ranks: Ranks) -> None:
    """Refuses a training that several processes can't share.

    Args:
        model: The model; it need not be compiled yet.
        optimizer: The optimizer, or its name.
        ranks: The processes.

    Raises:
        ValueError: If the points of the data can't be shared out, there are fewer residual points
            than ranks, the optimizer differentiates the losses itself, or DeepXDE is set to mixed
            precision.
    """
    reason = reason_against(model.data, model.net)
    if reason is None and dde.config.mixed:
        reason = "DeepXDE is set to mixed precision"
    if reason is None and (optimizer == "NNCG" or is_nncg(optimizer)):
        reason = "NNCG differentiates the losses itself"
    if reason is None and model.data.pde is not None:
        number = len(model.data.train_x_all)
        if number < ranks.size:
            reason = f"there are {number} residual points, fewer than ranks"
    if reason is not None:
        raise ValueError(
            f"{ranks.size} ranks can't share this training: {reason}. Train in a single process, "
            "without ddb.distributed()."
        )


def check_compiled(model: dde.Model, step: TrainStep, ranks: Ranks) -> None:
    """Checks after a compile that the ranks are alike, and can share the losses.

    Args:
        model: The compiled model.
        step: Its training step.
        ranks: The processes.

    Raises:
        RanksError: If the ranks differ; the message names in what.
        ValueError: If the losses of the ranks' shares don't add up to those of all points.
    """
    check_alike(model, step, ranks)
    if isinstance(step.engine, AcrossRanks):
        with unchanged_samplers(model.data):
            step.engine.check(Batch(*model.data.train_next_batch()))


def check_before_training(
    model: dde.Model, step: TrainStep | None, ranks: Ranks, iterations: int | None
) -> None:
    """Checks before the iterations of a `train` that the ranks are alike and do the same.

    Args:
        model: The compiled model, with its callbacks.
        step: Its training step; ``None`` while DeepXDE's own step trains.
        ranks: The processes.
        iterations: The number of iterations that `train` was given, if any.

    Raises:
        RuntimeError: If the model was compiled for a single process.
        ValueError: If a callback would stop the ranks at different iterations.
        RanksError: If the ranks differ; the message names in what.
    """
    if step is None or not isinstance(step.engine, AcrossRanks):
        raise RuntimeError(
            "The model was compiled before ddb.distributed(), for a single process: call "
            "ddb.distributed() first in the script."
        )
    callbacks = model.callbacks.callbacks
    if any(isinstance(callback, dde.callbacks.Timer) for callback in callbacks):
        raise ValueError(
            "The callback Timer would stop the ranks at different iterations: give `train` the "
            "number of iterations instead."
        )
    check_alike(model, step, ranks)
    names = [type(c).__name__ for c in callbacks if type(c).__name__ not in _ONLY_LOOK]
    ranks.require_same(
        {"the number of iterations": str(iterations), "the callbacks": ", ".join(names) or "none"},
        "Give them to `train` on every rank; a callback can do its work on rank 0 alone.",
    )


def check_alike(model: dde.Model, step: TrainStep, ranks: Ranks) -> None:
    """Checks that all ranks have the same points, parameters, weights and random numbers.

    It is done at compile, and before and after the iterations of a `train`.

    Args:
        model: The compiled model.
        step: Its training step.
        ranks: The processes.

    Raises:
        RanksError: On every rank, if they differ; the message names in what.
    """
    data, groups = model.data, step.engine.groups
    parameters = [*model.net.state_dict().values(), *external_variables(model)]
    ranks.require_same(
        {
            "the loss terms": ", ".join(term.name for term in groups.terms),
            "the groups": str(dict(zip(groups.names, groups.members, strict=True))),
            "the strategy": f"{step.weighting.strategy} {step.weighting.hyperparameters}",
            "the point weights": "none" if step.points is None else step.points.in_words(),
            "the optimizer": f"{type(model.opt).__name__} {_options(model.opt)}",
            "the training points": _checksum([data.train_x, np.array(data.num_bcs)]),
            "the test points": _checksum([] if data.test_x is None else [data.test_x]),
            "the parameters": _checksum(p.detach().cpu().numpy() for p in parameters),
            "the weights": _checksum([step.weighting.weights.detach().cpu().numpy()]),
            "the random numbers": _checksum(_random_states(model)),
        },
        _SEED,
    )


def _options(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The options of the groups of parameters that are numbers, texts or the like."""
    plain = (bool, int, float, str, tuple, type(None))
    return [
        {name: value for name, value in group.items() if isinstance(value, plain)}
        for group in optimizer.param_groups
    ]


def _random_states(model: dde.Model) -> list[np.ndarray]:
    """The states of all random numbers that a training draws."""
    kind, keys, *rest = np.random.get_state()
    states = [np.asarray(keys), np.array([str(kind), *map(str, rest), str(random.getstate())])]
    states.append(torch.get_rng_state().numpy())
    device = next(model.net.parameters()).device
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device).numpy())
    return states


def _checksum(arrays: Iterable[np.ndarray]) -> str:
    """A short text that is equal for equal arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return f"checksum {digest.hexdigest()[:12]}"
