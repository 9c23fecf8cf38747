"""Complete checkpoints: a restored run continues as the uninterrupted one would."""

from __future__ import annotations

import copy
import errno
import io
import os
import pickle
import shutil
import warnings
import zipfile
from collections.abc import Mapping
from typing import Any

import deepxde as dde
import torch
from torch import Tensor
from torch.serialization import default_restore_location

from .._files import replaced
from ..gradients.base import external_variables
from ..training.build_step import checked_numbers, restored_keep_step
from ..training.run import TrainingRun
from ..training.step import TrainStep
from ..weightings import Equal, Fixed
from . import older_formats, run_state, versions

#: The key of this package's part of a checkpoint. The other keys are those of DeepXDE.
_OURS = "deepxde_balance"

#: The number of the format of this package's part. It goes up by one with every change of the
#: content.
FORMAT = 9

#: The formats that can be read; a file with another number is refused. Format 4 does not have the
#: points and values of conditions at given points; 4 and 5 have losses without static factors; 4 to
#: 6 do not have numbers that a script has given as weights; in 4 to 7 a guard has seen no losses of
#: the reference; 4 to 8 do not have the losses at the best step.
READABLE = (4, 5, 6, 7, 8, FORMAT)

#: The strategies without weights and with a list of numbers. A script may change the numbers, and
#: so turn one into the other.
_OF_NUMBERS = (Equal.__name__, Fixed.__name__)

#: Attributes of DeepXDE's NNCG that belong to its state but are not in its `state_dict`.
_OPTIMIZER_ATTRIBUTES = ("n_iters", "U", "S", "rho", "old_dir")


class CheckpointError(ValueError):
    """Raised for a checkpoint that is damaged, or does not fit the model.

    Example:
        >>> import tempfile
        >>> import deepxde as dde
        >>> import deepxde_balance as ddb
        >>> def model(width):
        ...     data = dde.data.Function(dde.geometry.Interval(0, 1), lambda x: x**2, 10, 10)
        ...     model = ddb.Model(data, dde.nn.FNN([1, width, 1], "tanh", "Glorot uniform"))
        ...     model.compile("adam", lr=1e-3, verbose=0)
        ...     return model
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = model(width=20).save(f"{folder}/model")
        ...     try:
        ...         model(width=30).restore(path)
        ...     except ddb.CheckpointError as error:
        ...         print(str(error).split(": ")[-1])
        its parameter linears.0.weight has shape [20, 1], the model's [30, 1].
    """


def write(model: dde.Model, run: TrainingRun, path: str) -> None:
    """Writes a checkpoint. DeepXDE can restore the network and the optimizer from it.

    Raises:
        OSError: If it can't be written.
        TypeError: If the state of the optimizer or of a callback could not be read again.
    """
    content = _capture(model, run)
    try:
        with replaced(path) as temporary:
            torch.save(content, temporary)
            _check_readable(model.opt)  # before an older checkpoint is replaced
    except (OSError, RuntimeError) as error:  # PyTorch raises a RuntimeError on a full disk
        reason = error.strerror if isinstance(error, OSError) else _reason_to_fail(path)
        raise OSError(
            getattr(error, "errno", None) or errno.EIO,
            f"The checkpoint can't be written ({reason}). The checkpoints before it are whole",
            path,
        ) from error


def _reason_to_fail(path: str) -> str:
    free = shutil.disk_usage(os.path.dirname(path) or ".").free
    return (
        f"the disk is full or a limit of files' sizes is reached; {free / 2**20:.1f} MiB are free"
    )


def read(path: str, device: str | torch.device = "cpu") -> dict[str, Any]:
    """Reads a checkpoint written by :func:`write` or by DeepXDE.

    Args:
        path: The file.
        device: The device for its tensors that were on another device than the CPU. Those of the
            CPU stay there: an optimizer's counts of steps, which it reads in each step.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If the file is damaged or no checkpoint.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"There is no checkpoint {path}.")

    def place(storage: Any, saved_on: str) -> Any:
        return default_restore_location(storage, "cpu" if saved_on == "cpu" else str(device))

    try:
        with zipfile.ZipFile(path) as archive:  # torch.save writes zip files
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"bad checksum of {damaged}")
        checkpoint = torch.load(path, map_location=place, weights_only=True)
    except Exception as error:  # a damaged file may raise any exception
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
    """Restores a compiled model and its run from a checkpoint.

    The part of the state that is applied when training begins is put into `run.pending`. That is
    ``None`` for a checkpoint written by DeepXDE.

    Args:
        model: The model. If an error is raised, its network, optimizer, points and counters are as
            before; the caller must restore its attributes and the run
            (:func:`~deepxde_balance.training.run.unchanged_on_error`).
        run: The model's run.
        checkpoint: What :func:`read` returned.
        path: The file, for messages.

    Raises:
        CheckpointError: If the checkpoint is of another network, optimizer, strategy, of other
            groups, or of conditions at another number of given points.
    """
    try:
        _check_format(checkpoint.get(_OURS))
        if _OURS in checkpoint:
            older_formats.convert(checkpoint[_OURS])
        _prepare_for_kept_weights(model, run, checkpoint.get(_OURS))
        difference = _difference(model, run, checkpoint)
    except (LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"{path} is damaged or no checkpoint: {error!r}") from error
    except ValueError as error:
        difference = str(error)
    if difference is None and _OURS in checkpoint:
        versions.tell_changed(checkpoint[_OURS].get("versions", {}), path)
    if difference is not None:
        hint = _network_hint(model, checkpoint)
        raise CheckpointError(f"{path} is a checkpoint of another model: {difference}{hint}")
    before = copy.deepcopy(_capture(model, run))
    try:
        _apply(model, run, checkpoint)
    except Exception as error:
        _apply(model, run, before)
        raise CheckpointError(f"{path} can't be restored: {error}") from error


def restore_numbers(model: dde.Model, run: TrainingRun, checkpoint: dict[str, Any]) -> None:
    """Gives a model the numbers that a script had assigned to its `loss_weights`.

    Where `compile` was given others than that of the saved run, these stay.

    Args:
        model: The compiled model.
        run: Its run.
        checkpoint: What :func:`read` returned.
    """
    saved, own = checkpoint.get(_OURS, {}).get("numbers"), _numbers_state(model, run)
    if saved is None or saved["given"] != own["given"] or saved["now"] == own["now"]:
        return
    if saved["in_place"] and isinstance(model.loss_weights, list):
        model.loss_weights[:] = saved["now"]  # the script's own list, which it may change again
    else:
        model.loss_weights = saved["now"]


def restore_network(model: dde.Model, checkpoint: dict[str, Any], path: str) -> None:
    """Restores the network's parameters from a checkpoint, and nothing else.

    Args:
        model: The model, compiled or not.
        checkpoint: What :func:`read` returned.
        path: The file, for messages.

    Raises:
        CheckpointError: If the checkpoint is of another network. The model then does not change.
    """
    saved = checkpoint["model_state_dict"]
    difference = _network_difference(saved, model.net.state_dict())
    if difference is not None:
        raise CheckpointError(f"{path} is a checkpoint of another network: {difference}")
    model.net.load_state_dict(saved)


def _network_hint(model: dde.Model, checkpoint: dict[str, Any]) -> str:
    """How to load the network alone, where it is the model's; else empty."""
    if _network_difference(checkpoint["model_state_dict"], model.net.state_dict()) is not None:
        return ""
    return " For predictions, the network alone is loaded by restore(path, network_only=True)."


def _check_format(ours: dict[str, Any] | None) -> None:
    """Raises a ValueError if our part of a checkpoint has a format that can't be read."""
    if ours is not None and ours["format"] not in READABLE:
        raise ValueError(
            f"it has format {ours['format']}, this version reads the formats "
            f"{READABLE[0]} to {READABLE[-1]}."
        )


def _prepare_for_kept_weights(
    model: dde.Model, run: TrainingRun, ours: dict[str, Any] | None
) -> None:
    """Prepares a model that was compiled without weights for the kept weights of a checkpoint."""
    saved = None if ours is None else ours["weighting"]
    if saved is None or not (run.step is None or isinstance(run.step.weighting, Equal)):
        return
    kept = restored_keep_step(model, saved, run.engine_asked, run.term_names)
    if kept is not None:
        run.step = model.train_step = kept


def _capture(model: dde.Model, run: TrainingRun) -> dict[str, Any]:
    """The content of a checkpoint: DeepXDE's two parts, and this package's."""
    step = run.step
    return {
        "model_state_dict": model.net.state_dict(),
        "optimizer_state_dict": model.opt.state_dict(),
        _OURS: {
            "format": FORMAT,
            "versions": versions.present(),
            "optimizer": type(model.opt).__name__,
            "optimizer_attributes": {
                name: getattr(model.opt, name)
                for name in _OPTIMIZER_ATTRIBUTES
                if hasattr(model.opt, name)
            },
            "external_variables": [v.detach().clone() for v in external_variables(model)],
            "lr_scheduler": _scheduler_state(model),
            "numbers": _numbers_state(model, run),
            "weighting": None if step is None else _weighting_state(step),
            "step": None if step is None else step.state_dict(),
            "lbfgs_start": run.lbfgs_start,
            "run": run_state.capture(model, run),
        },
    }


def _check_readable(optimizer: torch.optim.Optimizer) -> None:
    """Raises a TypeError if :func:`read` would not read the optimizer's state.

    Tensors, which it reads, are left out.
    """
    file = io.BytesIO()
    torch.save(_without_tensors(optimizer.state_dict()), file)
    file.seek(0)
    try:
        torch.load(file, weights_only=True)
    except pickle.UnpicklingError as error:
        raise TypeError(
            f"The state of the optimizer {type(optimizer).__name__} can't be saved: it has objects "
            "that torch.load(weights_only=True) does not read."
        ) from error


def _without_tensors(value: Any) -> Any:
    if isinstance(value, Tensor):
        return None
    if type(value) is dict:
        return {key: _without_tensors(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_without_tensors(item) for item in value)
    return value


def _numbers_state(model: dde.Model, run: TrainingRun) -> dict[str, Any]:
    """The numbers that are the weights: those given to `compile`, and those of the script since."""
    now = model.loss_weights
    return {
        "given": run.numbers_given,
        "now": None if now is None else checked_numbers(now),
        "in_place": now is run.list_given,
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
        "points": _point_rules(step),
        "state": weighting.state_dict(),
    }


def _point_rules(step: TrainStep | None) -> list[dict[str, Any]]:
    """The point weightings beside the weighting: their rules, hyperparameters and terms."""
    return step.points.describe() if step is not None and step.points is not None else []


def _apply(model: dde.Model, run: TrainingRun, checkpoint: dict[str, Any]) -> None:
    """Loads a checkpoint that fits the model."""
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
    # The weights of Equal and Fixed were given to `compile`.
    step = run.step
    if step is not None and not isinstance(step.weighting, (Equal, Fixed)):
        step.weighting.load_state_dict(ours["weighting"]["state"])
        step.load_state_dict(ours["step"])
    elif step is not None and step.points is not None:
        step.load_state_dict(ours["step"])
    run.lbfgs_start = ours["lbfgs_start"]
    test_points = run.test_points
    sampled = test_points is not None and test_points.are_sampled()
    run_state.restore_points(model, ours["run"])
    if test_points is not None and sampled:
        test_points.mark_as_sampled()
    run_state.restore_counters(model, ours["run"])
    run_state.restore_draws(model, ours["run"])
    run.pending = run_state.PendingRun(ours["run"], checkpoint["model_state_dict"])


def _difference(model: dde.Model, run: TrainingRun, checkpoint: dict[str, Any]) -> str | None:
    """Describes why the checkpoint does not fit the model; ``None`` if it fits."""
    network = _network_difference(checkpoint["model_state_dict"], model.net.state_dict())
    if network is not None:
        return network
    ours = checkpoint.get(_OURS)
    if ours is None:
        return _options_difference(checkpoint["optimizer_state_dict"], model.opt.state_dict())
    if ours["optimizer"] != type(model.opt).__name__:
        return f"its optimizer is {ours['optimizer']}, the model's {type(model.opt).__name__}."
    saved, own = (
        None if s is None else s["name"] for s in (ours["lr_scheduler"], _scheduler_state(model))
    )
    if saved != own:
        return f"its decay of the learning rate is {saved}, the model's {own}."
    shapes = [list(v.shape) for v in ours["external_variables"]]
    own_shapes = [list(v.shape) for v in external_variables(model)]
    if shapes != own_shapes:
        return (
            f"it has {len(shapes)} external variable(s) of shapes {shapes}, the model has "
            f"{own_shapes}."
        )
    difference = _weighting_difference(ours, model, run)
    if difference is None:
        difference = run_state.conditions_difference(model.data, ours["run"])
    return difference


def _network_difference(saved: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str | None:
    """Describes how the saved network differs from the model's; ``None`` if it does not."""
    if set(saved) != set(own):
        names = sorted(set(saved) ^ set(own))
        whose = "it" if names[0] in saved else "the model"
        return f"only {whose} has the parameter {names[0]}."
    for name, value in saved.items():
        if value.shape != own[name].shape:
            return (
                f"its parameter {name} has shape {list(value.shape)}, the model's "
                f"{list(own[name].shape)}."
            )
    return None


def _options_difference(saved: dict[str, Any], own: dict[str, Any]) -> str | None:
    """Describes how the saved optimizer differs from the model's; ``None`` if it does not.

    A checkpoint of DeepXDE does not name its optimizer, so that options are compared.
    """
    groups = [saved["param_groups"], own["param_groups"]]
    for a, b in zip(*groups, strict=False):
        # A decay of the learning rate adds "initial_lr".
        saved_options, own_options = (sorted(set(group) - {"initial_lr"}) for group in (a, b))
        if saved_options != own_options:
            return f"its optimizer has the options {saved_options}, the model's {own_options}."
    if [len(g["params"]) for g in groups[0]] != [len(g["params"]) for g in groups[1]]:
        return "its optimizer trains another number of parameters than the model's."
    return None


def _given_strategy(strategy: str, numbers: Mapping[str, Any] | None) -> str:
    """The strategy that `compile` was given, where a script has given other numbers since.

    Args:
        strategy: The present one.
        numbers: What :func:`_numbers_state` returned; ``None`` in a checkpoint of an older format.
    """
    if numbers is None or strategy not in _OF_NUMBERS or numbers["given"] == numbers["now"]:
        return strategy
    return _OF_NUMBERS[0 if numbers["given"] is None else 1]


def _weighting_difference(
    ours: Mapping[str, Any], model: dde.Model, run: TrainingRun
) -> str | None:
    """Describes how the saved weighting differs from the model's; ``None`` if it does not.

    Other hyperparameters are no difference, but a warning.
    """
    saved, step = ours["weighting"], run.step
    strategy = _given_strategy("Equal" if saved is None else saved["strategy"], ours.get("numbers"))
    own_strategy = _given_strategy(
        "Equal" if step is None else step.weighting.strategy, _numbers_state(model, run)
    )
    if strategy != own_strategy:
        return (
            f"its strategy is {strategy}, the model's {own_strategy}. To go on with another one, "
            "restore with the same one, then compile again."
        )
    rules = [[] if saved is None else saved["points"], _point_rules(step)]
    in_words = [
        ", ".join(f"{entry['rule']} of {'+'.join(entry['terms'])}" for entry in entries) or "none"
        for entries in rules
    ]
    if in_words[0] != in_words[1]:
        return f"its point weights are {in_words[0]}, the model's {in_words[1]}."
    if saved is None or step is None:
        return None
    own = _weighting_state(step)
    same_strategy = saved["strategy"] == own["strategy"]  # not where one has a script's numbers
    for what, name in (
        ("dynamic", "weights are adaptive:"),
        ("groups", "groups"),
        ("unweighted", "unweighted terms"),
        ("scale", "static factors"),
    ):
        if same_strategy and saved[what] != own[what]:
            return f"its {name} are {saved[what]}, the model's {own[what]}."
    saved_values, own_values = _hyperparameters(saved), _hyperparameters(own)
    differing = [
        f"{name}={saved_values.get(name)!r} there, {own_values.get(name)!r} here"
        for name in sorted(saved_values.keys() | own_values.keys())
        if saved_values.get(name) != own_values.get(name)
    ]
    if differing:
        warnings.warn(
            f"The checkpoint's weighting had other hyperparameters ({'; '.join(differing)}): "
            "those given to compile are used from now on.",
            stacklevel=4,
        )
    return None


def _hyperparameters(weighting: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters of a weighting and of the point weightings beside it, by name."""
    own: dict[str, Any] = weighting["hyperparameters"]
    return own | {
        f"{entry['rule']}.{name}": value
        for entry in weighting["points"]
        for name, value in entry["hyperparameters"].items()
    }
