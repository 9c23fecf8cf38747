"""The choice of the gradient engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import deepxde as dde
import torch

from .._checks import unknown_name
from .._deepxde.nncg import is_nncg
from .._deepxde.plain_pde import why_not_plain
from ..ranks import current
from ..terms.groups import TermGroups
from .across_ranks import AcrossRanks
from .base import GradientEngine
from .checked import CheckedEngine
from .compiled.cuda_graphs import CudaGraphsEngine
from .compiled.engine import CompiledEngine
from .compiled.fastest import FastestEngine
from .per_group import PerGroupEngine
from .points_per_pass import check_points_per_pass, pass_size

EngineName = Literal["one-pass", "compiled", "cuda-graphs", "per-group", "fastest"]


class EngineAsked(NamedTuple):
    """What a user asks of the gradient engine.

    Args:
        name: The engine; ``None`` leaves the choice.
        points_per_pass: The largest number of points that go through the network together;
            ``None`` leaves the choice.
    """

    name: EngineName | None = None
    points_per_pass: int | None = None


#: Nothing is asked of the engine.
ANY_ENGINE = EngineAsked()

#: With fewer points, an iteration is mostly overhead, and the per-group engine is faster: it
#: evaluates the network once for all points, the one-pass engine once for each group. By
#: benchmarks/crossover.py the one-pass engine takes 0.93 to 1.14 of the other's time from 50 to 200
#: points, 0.95 to 1.12 at 300, 0.84 to 1.04 at 500. `gradient_engine` of `compile` overrides it.
FEW_POINTS = 300

_NOT_POINT_BY_POINT = (
    torch.nn.BatchNorm1d,
    torch.nn.BatchNorm2d,
    torch.nn.BatchNorm3d,
    torch.nn.SyncBatchNorm,
    torch.nn.InstanceNorm1d,
    torch.nn.InstanceNorm2d,
    torch.nn.InstanceNorm3d,
    torch.nn.Dropout,
    torch.nn.AlphaDropout,
    torch.nn.FeatureAlphaDropout,
)


def reason_against(data: dde.data.Data, net: torch.nn.Module) -> str | None:
    """Says why the one-pass engine can't give DeepXDE's losses; ``None`` if it should.

    Args:
        data: The data object.
        net: The network.
    """
    reason = why_not_plain(data)
    if reason is not None:
        return reason
    for module in net.modules():
        if isinstance(module, _NOT_POINT_BY_POINT):
            return f"{type(module).__name__} does not act point by point"
    return None


def check_engine(
    asked: EngineAsked, data: dde.data.Data, net: torch.nn.Module, optimizer: Any, loss: Any = None
) -> None:
    """Checks what a user asks of the gradient engine.

    Args:
        asked: What was asked.
        data: The data object.
        net: The network.
        optimizer: The optimizer, or its name.
        loss: DeepXDE's loss function or its name, or a list of these; ``None`` if unknown.

    Raises:
        ValueError: If there is no engine of that name, the engine can't be used, the number of
            points is no integer of at least 1, or points can't be divided into passes.
    """
    name = asked.name
    known = isinstance(name, str) and name in get_args(EngineName)
    if name is not None and not known:
        raise unknown_name("gradient_engine", str(name), list(get_args(EngineName)))
    against = reason_against(data, net)
    reason = None if name in (None, "per-group", "fastest") else against
    if reason is None and name in ("compiled", "cuda-graphs"):
        if dde.config.mixed:
            reason = "DeepXDE is set to mixed precision"
        elif optimizer == "NNCG" or is_nncg(optimizer):
            reason = "NNCG differentiates the losses itself"
        elif name == "cuda-graphs":
            reason = _reason_against_cuda_graphs(net)
    if reason is not None:
        raise ValueError(f"gradient_engine={name!r} can't be used here: {reason}.")
    if asked.points_per_pass is not None:
        if current() is not None:
            raise ValueError(
                f"points_per_pass={asked.points_per_pass} can't be used with several processes, "
                "which divide the points among them: leave it out."
            )
        like = next(net.parameters()).detach()
        check_points_per_pass(asked.points_per_pass, name, against, optimizer, loss, like)


def _reason_against_cuda_graphs(net: torch.nn.Module) -> str | None:
    devices = sorted({str(p.device) for p in net.parameters()})
    if all(device.startswith("cuda") for device in devices):
        return None
    return f"the network is on {', '.join(devices)}, and only a CUDA GPU has CUDA graphs"


def takes_one_pass(data: dde.data.Data, net: torch.nn.Module) -> bool:
    """Whether the one-pass engine is chosen: where it gives DeepXDE's losses and is faster."""
    return reason_against(data, net) is None and len(data.train_x) >= FEW_POINTS


def takes_passes(asked: EngineAsked, data: dde.data.Data, net: torch.nn.Module) -> bool:
    """Whether the points are divided into passes, as far as is known before training.

    Args:
        asked: What was asked of the engine.
        data: The data object.
        net: The network.
    """
    if current() is not None:  # each of several processes takes its share at once
        return False
    if asked.name not in (None, "one-pass", "fastest") or reason_against(data, net) is not None:
        return False
    size = pass_size(asked.points_per_pass, net)
    return size is not None and len(data.train_x) > size.above


def choose_engine(
    model: dde.Model, groups: TermGroups, scale: Sequence[float], asked: EngineAsked
) -> GradientEngine:
    """Makes the gradient engine for a model.

    By default it is the one-pass engine where that gives DeepXDE's losses and is faster, else the
    per-group engine. Where several processes train together, it has a share of the points.

    Args:
        model: The model; it need not be compiled yet.
        groups: The groups of its terms.
        scale: One static factor per term.
        asked: What was asked of the engine, checked by :func:`check_engine`.
    """
    ranks = current()
    engine = _engine(model, groups, scale, asked, alone=ranks is None)
    return engine if ranks is None else AcrossRanks(engine, ranks)


def _engine(
    model: dde.Model, groups: TermGroups, scale: Sequence[float], asked: EngineAsked, alone: bool
) -> GradientEngine:
    """The engine of one process.

    Args:
        model: The model.
        groups: The groups of its terms.
        scale: One static factor per term.
        asked: What was asked of the engine.
        alone: Whether no other process trains with it. Several divide the points already.
    """
    if asked.name == "compiled":
        return CompiledEngine(model, groups, scale)
    if asked.name == "cuda-graphs":
        return CudaGraphsEngine(model, groups, scale)
    uncompiled = _uncompiled_engine(model, groups, scale, asked, alone)
    if asked.name == "fastest" and alone and _may_compile(model, asked):
        return FastestEngine(model, groups, scale, uncompiled)
    return uncompiled


def _uncompiled_engine(
    model: dde.Model, groups: TermGroups, scale: Sequence[float], asked: EngineAsked, alone: bool
) -> GradientEngine:
    """The engine of one process, uncompiled; its arguments are those of :func:`_engine`."""
    must_hold, divided = asked.name == "one-pass", asked.points_per_pass is not None
    may_choose = asked.name in (None, "fastest")
    if must_hold or (may_choose and (divided or takes_one_pass(model.data, model.net))):
        size = pass_size(asked.points_per_pass, model.net) if alone else None
        return CheckedEngine(model, groups, scale, must_hold, size)
    return PerGroupEngine(model, groups, scale)


def _may_compile(model: dde.Model, asked: EngineAsked) -> bool:
    """Whether the iteration may be compiled: nothing is known of it on other devices."""
    return (
        asked.points_per_pass is None
        and not dde.config.mixed
        and reason_against(model.data, model.net) is None
        and all(p.device.type == "cpu" for p in model.net.parameters())
    )
