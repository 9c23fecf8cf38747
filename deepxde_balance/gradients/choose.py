"""The choice of the gradient engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import deepxde as dde
import torch

from .._checks import unknown_name
from .._deepxde.nncg import is_nncg
from ..ranks import current
from ..terms.groups import TermGroups
from .across_ranks import AcrossRanks
from .base import GradientEngine
from .checked import CheckedEngine
from .compiled.engine import CompiledEngine
from .per_group import PerGroupEngine

EngineName = Literal["one-pass", "compiled", "per-group"]

#: With fewer points, an iteration is mostly overhead, and the per-group engine is faster: it
#: evaluates the network once for all points, the one-pass engine once for each group. A choice, not
#: a tuned value: at this number the two engines cost about the same. `gradient_engine` of `compile`
#: overrides it.
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
    if not isinstance(data, dde.data.PDE):
        return f"{type(data).__name__} is no dde.data.PDE"
    for name in ("losses", "losses_train", "losses_test", "train_next_batch", "test"):
        if name in vars(data) or getattr(type(data), name) is not getattr(dde.data.PDE, name):
            return f"{type(data).__name__} has `{name}` of its own"
    for module in net.modules():
        if isinstance(module, _NOT_POINT_BY_POINT):
            return f"{type(module).__name__} does not act point by point"
    return None


def check_engine_name(
    name: str | None, data: dde.data.Data, net: torch.nn.Module, optimizer: Any
) -> None:
    """Raises a ValueError unless `name` is ``None`` or names an engine that can be used."""
    if name is not None and name not in get_args(EngineName):
        raise unknown_name("gradient_engine", str(name), list(get_args(EngineName)))
    reason = reason_against(data, net) if name in ("one-pass", "compiled") else None
    if reason is None and name == "compiled":
        if dde.config.mixed:
            reason = "DeepXDE is set to mixed precision"
        elif optimizer == "NNCG" or is_nncg(optimizer):
            reason = "NNCG differentiates the losses itself"
    if reason is not None:
        raise ValueError(f"gradient_engine={name!r} can't be used here: {reason}.")


def takes_one_pass(data: dde.data.Data, net: torch.nn.Module) -> bool:
    """Whether the one-pass engine is chosen: where it gives DeepXDE's losses and is faster."""
    return reason_against(data, net) is None and len(data.train_x) >= FEW_POINTS


def choose_engine(
    model: dde.Model,
    groups: TermGroups,
    scale: Sequence[float],
    forced: EngineName | None = None,
) -> GradientEngine:
    """Makes the gradient engine for a model.

    By default it is the one-pass engine where that gives DeepXDE's losses and is faster, else the
    per-group engine. Where several processes train together, it has a share of the points.

    Args:
        model: The model; it need not be compiled yet.
        groups: The groups of its terms.
        scale: One static factor per term.
        forced: The engine to use, checked by :func:`check_engine_name`.
    """
    engine = _engine(model, groups, scale, forced)
    ranks = current()
    return engine if ranks is None else AcrossRanks(engine, ranks)


def _engine(
    model: dde.Model, groups: TermGroups, scale: Sequence[float], forced: EngineName | None
) -> GradientEngine:
    """The engine of one process."""
    if forced == "compiled":
        return CompiledEngine(model, groups, scale)
    if forced == "one-pass" or (forced is None and takes_one_pass(model.data, model.net)):
        return CheckedEngine(model, groups, scale, must_hold=forced == "one-pass")
    return PerGroupEngine(model, groups, scale)
