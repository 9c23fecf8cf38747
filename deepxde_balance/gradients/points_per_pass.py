"""How many points go through the network at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import deepxde as dde
import torch
from torch import Tensor

from .._checks import positive_int
from .._deepxde.nncg import is_nncg
from .mean_losses import is_no_mean


class PassSize(NamedTuple):
    """How the points are divided.

    Args:
        points: The largest number of points of a pass.
        above: With at most this many points, all go through the network at once.
        asked: Whether a user asked for it. Otherwise nothing is said where it can't be done.
    """

    points: int
    above: int
    asked: bool


#: The choice without a number, on a CPU, where operations on few points stay in its caches. With
#: 10000 points and one thread, networks of width 20, 50 and 100 take 0.80, 0.84 and 0.70 of the
#: time at once (`benchmarks/scale.py --ratios`, `benchmarks/results/scale_ratios.json`). Beyond
#: twice that number, memory counts, too. On other devices nothing was measured.
CHOSEN = PassSize(points=4096, above=20000, asked=False)


def pass_size(number: int | None, net: torch.nn.Module) -> PassSize | None:
    """The size of the passes; ``None`` where all points go through the network at once.

    Args:
        number: The argument `points_per_pass` of `compile`.
        net: The network.
    """
    if number is not None:
        return PassSize(number, above=number, asked=True)
    on_cpu = next(net.parameters()).device.type == "cpu"
    return CHOSEN if on_cpu and not dde.config.mixed else None


def check_points_per_pass(
    number: Any, engine: str | None, reason: str | None, optimizer: Any, loss: Any, like: Tensor
) -> None:
    """Checks the argument `points_per_pass`.

    Args:
        number: What was given.
        engine: The gradient engine that was asked for.
        reason: Why the one-pass engine can't be used, if it can't.
        optimizer: The optimizer, or its name.
        loss: DeepXDE's loss function or its name, or a list of these; ``None`` if unknown.
        like: A tensor with the device and the float type of the parameters.

    Raises:
        ValueError: If it is not ``None`` and no integer of at least 1, or can't be used.
    """
    if number is None:
        return
    positive_int("points_per_pass", number)
    if engine == "per-group":
        reason = "the per-group engine differentiates DeepXDE's losses of all points"
    elif engine in ("compiled", "cuda-graphs"):
        reason = "the compiled engine is one function of all points"
    elif dde.config.mixed:
        reason = "DeepXDE is set to mixed precision, in which sums of many parts are inexact"
    elif optimizer == "NNCG" or is_nncg(optimizer):
        reason = "NNCG differentiates the losses of all points itself"
    elif reason is None and loss is not None:
        names = loss if isinstance(loss, (list, tuple)) else [loss]
        for name in names:
            if is_no_mean(dde.losses.get(name), like):
                reason = f"the loss function {in_words(name)} is no mean over points"
    if reason is not None:
        raise ValueError(f"points_per_pass={number} can't be used here: {reason}.")


def in_words(loss: Any) -> str:
    """The name of a loss function."""
    return repr(loss) if isinstance(loss, str) else getattr(loss, "__name__", repr(loss))
