"""Complete checkpoints: a restored run goes on as the unbroken one would."""

from __future__ import annotations

import copy
import os
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import deepxde as dde
import torch
from torch import Tensor

from .._files import replaced
from ..gradients.base import external_variables
from ..training.build_step import restored_keep_step
from ..training.run import TrainingRun
from ..training.step import TrainStep
from ..weightings import Equal, Fixed
from . import run_state

_OURS = "deepxde_balance"
#: Of our part of a checkpoint. It goes up by one whenever what is in it changes; files of another
#: format are refused by that number.
FORMAT = 3

#: What DeepXDE's NNCG keeps outside its `state_dict`.
_OPTIMIZER_ATTRIBUTES = ("n_iters", "U", "S", "rho", "old_dir")


class CheckpointError(ValueError):
    """A checkpoint that can't be read, or is not one of this model."""


def write(model: dde.Model, run: TrainingRun, path: str) -> None:
    """Writes a checkpoint; stock DeepXDE reads its network and optimizer."""
    with replaced(path) as beside:
        torch.save(_capture(model, run), beside)


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


def restore(model: dde.Model, run: TrainingRun, checkpoint: dict[str, Any], path: str) -> None:
    """Puts a checkpoint into a compiled model and its run.

    What waits for training to begin is then `run.pending`; ``None`` with a checkpoint of DeepXDE's
    own.

    Args:
        model: The model. What it holds (network, optimizer, points, counters) stays as it was if
            this raises; its attributes and the run are the caller's to put back.
        run: Its run.
        checkpoint: What :func:`read` gave.
        path: Where it is from, for messages.

    Raises:
        CheckpointError: If it is of another network, optimizer, strategy or of other groups.
    """
    try:
        _take_kept_weights(model, run, checkpoint.get(_OURS))
        difference = _difference(model, run, checkpoint)
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged or no checkpoint: {error!r}") from error
    if difference is not None:
        raise CheckpointError(f"{path} is a checkpoint of another model: {difference}")
    before = copy.deepcopy(_capture(model, run))
    try:
        _apply(model, run, checkpoint)
    except Exception as error:
        _apply(model, run, before)
        raise CheckpointError(f"{path} can't be restored: {error}") from error


def _take_kept_weights(model: dde.Model, run: TrainingRun, ours: dict[str, Any] | None) -> None:
    """Lets a model that was compiled without weights take those that a phase had kept."""
    saved = None if ours is None else ours["weighting"]
    if saved is None or not (run.step is None or isinstance(run.step.weighting, Equal)):
        return
    kept = restored_keep_step(model, saved, run.engine_asked)
    if kept is not None:
        run.step = model.train_step = kept


def _capture(model: dde.Model, run: TrainingRun) -> dict[str, Any]:
    step = run.step
    return {
        "model_state_dict": model.net.state_dict(),
        "optimizer_state_dict": model.opt.state_dict(),
        _OURS: {
            "format": FORMAT,
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
            "lbfgs_start": run.lbfgs_start,
            "run": run_state.capture(model, run.in_training, run.pending),
        },
    }


def _scheduler_state(model: dde.Model) -> dict[str, Any] | None:
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


def _apply(model: dde.Model, run: TrainingRun, checkpoint: dict[str, Any]) -> None:
    ours = checkpoint.get(_OURS)
    model.net.load_state_dict(checkpoint["model_state_dict"])
    model.opt.load_state_dict(checkpoint["optimizer_state_dict"])
    if ours is None:
        run.pending = None
        return
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
    if run.step is not None and not isinstance(run.step.weighting, given_to_compile):
        run.step.weighting.load_state_dict(ours["weighting"]["state"])
        run.step.load_state_dict(ours["step"])
    run.lbfgs_start = ours["lbfgs_start"]
    made = run.test_points is not None and run.test_points.are_sampled()
    run_state.restore_points(model, ours["run"])
    if made:
        assert run.test_points is not None
        run.test_points.mark_as_sampled()
    run_state.restore_counters(model, ours["run"])
    run_state.restore_draws(model, ours["run"])
    run.pending = run_state.PendingRun(ours["run"], checkpoint["model_state_dict"])


def _difference(model: dde.Model, run: TrainingRun, checkpoint: dict[str, Any]) -> str | None:
    """What is different in the model, in words; ``None`` if nothing is."""
    network = _network_difference(checkpoint["model_state_dict"], model.net.state_dict())
    if network is not None:
        return network
    ours = checkpoint.get(_OURS)
    if ours is None:
        return _options_difference(checkpoint["optimizer_state_dict"], model.opt.state_dict())
    if ours["format"] != FORMAT:
        return f"it has format {ours['format']}, this version reads format {FORMAT}."
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
    return _weighting_difference(ours["weighting"], run.step)


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
