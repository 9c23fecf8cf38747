"""Complete checkpoints: a restored run goes on as the unbroken one would."""

from __future__ import annotations

import copy
import os
import warnings
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._files import replaced
from ..gradients.base import external_variables
from ..training.build_step import restored_keep_step
from ..training.step import TrainStep
from ..weightings import Equal, Fixed
from . import run_state

if TYPE_CHECKING:
    from ..resumable import ResumableModel

_OURS = "deepxde_balance"
_FORMAT = 2

#: What DeepXDE's NNCG keeps outside its `state_dict`.
_OPTIMIZER_ATTRIBUTES = ("n_iters", "U", "S", "rho", "old_dir")


class CheckpointError(ValueError):
    """A checkpoint that can't be read, or is not one of this model."""


def write(model: ResumableModel, path: str) -> None:
    """Writes a checkpoint; stock DeepXDE reads its network and optimizer."""
    with replaced(path) as beside:
        torch.save(_capture(model), beside)


def read(path: str, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Reads a checkpoint of ours or of DeepXDE.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it is damaged or no checkpoint.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"There is no checkpoint {path}.")
    try:
        with zipfile.ZipFile(path) as archive:  # what torch.save writes
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"bad checksum of {damaged}")
        checkpoint = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # whatever a damaged file makes of its reader
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is damaged or no checkpoint: {reason}") from error
    parts = ("model_state_dict", "optimizer_state_dict")
    if not isinstance(checkpoint, dict) or not all(
        isinstance(checkpoint.get(part), dict) for part in parts
    ):
        raise CheckpointError(
            f"{path} is no checkpoint of a model: it has no network and optimizer."
        )
    return checkpoint


def restore(
    model: ResumableModel, checkpoint: dict[str, Any], path: str
) -> run_state.PendingRun | None:
    """Puts a checkpoint into a compiled model.

    Args:
        model: The model; it stays as it was if this raises.
        checkpoint: What :func:`read` gave.
        path: Where it is from, for messages.

    Returns:
        What waits for training to begin; ``None`` with a checkpoint of DeepXDE's own.

    Raises:
        CheckpointError: If it is of another network, optimizer, strategy or of other groups.
    """
    attributes = dict(vars(model))
    try:
        _take_kept_weights(model, checkpoint.get(_OURS))
        difference = _difference(model, checkpoint)
    except (KeyError, TypeError, AttributeError) as error:
        model.__dict__.update(attributes)
        raise CheckpointError(f"{path} is damaged or no checkpoint: {error!r}") from error
    if difference is not None:
        model.__dict__.update(attributes)
        raise CheckpointError(f"{path} is a checkpoint of another model: {difference}")
    before = copy.deepcopy(_capture(model))
    try:
        return _apply(model, checkpoint)
    except Exception as error:
        _apply(model, before)
        model.__dict__.update(attributes)
        raise CheckpointError(f"{path} can't be restored: {error}") from error


def _take_kept_weights(model: ResumableModel, ours: dict[str, Any] | None) -> None:
    """Lets a model that was compiled without weights take those that a phase had kept."""
    saved = None if ours is None else ours["weighting"]
    own = None if model._step is None else model._step.weighting
    if (
        saved is not None
        and (own is None or isinstance(own, Equal))
        and saved["strategy"] in ("Keep", "SA")
        and not saved["dynamic"]
    ):
        model._step = model.train_step = restored_keep_step(model, saved, model._engine_asked)


def _capture(model: ResumableModel) -> dict[str, Any]:
    step = model._step
    return {
        "model_state_dict": model.net.state_dict(),
        "optimizer_state_dict": model.opt.state_dict(),
        _OURS: {
            "format": _FORMAT,
            "optimizer": type(model.opt).__name__,
            "optimizer_attributes": {
                name: getattr(model.opt, name)
                for name in _OPTIMIZER_ATTRIBUTES
                if hasattr(model.opt, name)
            },
            "external_variables": [v.detach().clone() for v in external_variables(model)],
            "lr_scheduler": _scheduler_state(model),
            "weighting": None if step is None else _weighting_state(step),
            "step": None if step is None else step.state_dict(),
            "lbfgs_start": model._lbfgs_start,
            "run": run_state.capture(model, model._in_train, model._pending),
        },
    }


def _scheduler_state(model: ResumableModel) -> dict[str, Any] | None:
    if model.lr_scheduler is None:
        return None
    return {"name": type(model.lr_scheduler).__name__, "state": model.lr_scheduler.state_dict()}


def _weighting_state(step: TrainStep) -> dict[str, Any]:
    groups, weighting = step.engine.groups, step.weighting
    return {
        "strategy": weighting.strategy,
        "dynamic": weighting.dynamic,
        "hyperparameters": weighting.hyperparameters,
        "groups": {
            name: [groups.terms[i].name for i in members]
            for name, members in zip(groups.names, groups.members, strict=True)
        },
        "unweighted": [groups.terms[i].name for i in groups.unweighted],
        "scale": list(step.engine.scale),
        "state": weighting.state_dict(),
    }


def _apply(model: ResumableModel, checkpoint: dict[str, Any]) -> run_state.PendingRun | None:
    ours = checkpoint.get(_OURS)
    model.net.load_state_dict(checkpoint["model_state_dict"])
    model.opt.load_state_dict(checkpoint["optimizer_state_dict"])
    if ours is None:
        return None
    for name, value in ours["optimizer_attributes"].items():
        setattr(model.opt, name, value)
    with torch.no_grad():
        for variable, value in zip(
            external_variables(model), ours["external_variables"], strict=True
        ):
            variable.copy_(value)
    if ours["lr_scheduler"] is not None:
        model.lr_scheduler.load_state_dict(ours["lr_scheduler"]["state"])
    given_to_compile = (Equal, Fixed)
    if model._step is not None and not isinstance(model._step.weighting, given_to_compile):
        model._step.weighting.load_state_dict(ours["weighting"]["state"])
        model._step.load_state_dict(ours["step"])
    model._lbfgs_start = ours["lbfgs_start"]
    made = model._test_points is not None and model._test_points.are_made()
    run_state.restore_points(model, ours["run"])
    if made:
        assert model._test_points is not None
        model._test_points.adopt()
    run_state.restore_counters(model, ours["run"])
    run_state.restore_draws(model, ours["run"])
    return run_state.PendingRun(ours["run"], checkpoint["model_state_dict"])


def _difference(model: ResumableModel, checkpoint: dict[str, Any]) -> str | None:
    """What is different in the model, in words; ``None`` if nothing is."""
    network = _network_difference(checkpoint["model_state_dict"], model.net.state_dict())
    if network is not None:
        return network
    ours = checkpoint.get(_OURS)
    if ours is None:
        return _options_difference(checkpoint["optimizer_state_dict"], model.opt.state_dict())
    if ours["format"] != _FORMAT:
        return f"it has format {ours['format']}, this version reads format {_FORMAT}."
    if ours["optimizer"] != type(model.opt).__name__:
        return f"its optimizer is {ours['optimizer']}, the model's {type(model.opt).__name__}."
    saved, here = (
        None if s is None else s["name"] for s in (ours["lr_scheduler"], _scheduler_state(model))
    )
    if saved != here:
        return f"its decay of the learning rate is {saved}, the model's {here}."
    shapes = [list(v.shape) for v in ours["external_variables"]]
    if shapes != [list(v.shape) for v in external_variables(model)]:
        return (
            f"it has {len(shapes)} external variable(s) of shapes {shapes}, the model has "
            f"{[list(v.shape) for v in external_variables(model)]}."
        )
    return _weighting_difference(ours["weighting"], model._step)


def _network_difference(saved: Mapping[str, Tensor], here: Mapping[str, Tensor]) -> str | None:
    if set(saved) != set(here):
        names = sorted(set(saved) ^ set(here))
        whose = "it" if names[0] in saved else "the model"
        return f"only {whose} has the parameter {names[0]}."
    for name, value in saved.items():
        if value.shape != here[name].shape:
            return (
                f"its parameter {name} has shape {list(value.shape)}, the model's "
                f"{list(here[name].shape)}."
            )
    return None


def _options_difference(saved: dict[str, Any], here: dict[str, Any]) -> str | None:
    """For a checkpoint that does not name its optimizer."""
    groups = [saved["param_groups"], here["param_groups"]]
    for a, b in zip(*groups, strict=False):
        options, own = (set(group) - {"initial_lr"} for group in (a, b))  # which a decay adds
        if options != own:
            return f"its optimizer has the options {sorted(options)}, the model's {sorted(own)}."
    if [len(g["params"]) for g in groups[0]] != [len(g["params"]) for g in groups[1]]:
        return "its optimizer trains another number of parameters than the model's."
    return None


def _weighting_difference(saved: dict[str, Any] | None, step: TrainStep | None) -> str | None:
    strategy = "Equal" if saved is None else saved["strategy"]
    own_strategy = "Equal" if step is None else step.weighting.strategy
    if strategy != own_strategy:
        return (
            f"its strategy is {strategy}, the model's {own_strategy}. To go on with another one, "
            "restore with the same one, then compile again."
        )
    if saved is None or step is None:
        return None
    own = _weighting_state(step)
    for what, name in (
        ("dynamic", "weights are adaptive:"),
        ("groups", "groups"),
        ("unweighted", "unweighted terms"),
        ("scale", "static factors"),
    ):
        if saved[what] != own[what]:
            return f"its {name} are {saved[what]}, the model's {own[what]}."
    there, here = saved["hyperparameters"], own["hyperparameters"]
    differing = [
        f"{name}={there.get(name)!r} there, {here.get(name)!r} here"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    ]
    if differing:
        warnings.warn(
            f"The checkpoint's weighting had other hyperparameters ({'; '.join(differing)}): "
            "those given to compile are used from now on.",
            stacklevel=4,
        )
    return None
