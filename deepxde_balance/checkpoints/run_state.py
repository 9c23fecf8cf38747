"""Where a training run stands, beside its parameters: what a resumed run goes on from."""

from __future__ import annotations

import random
from typing import Any

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .._deepxde import sampled_points as drawn
from .._deepxde.batch import problem_of
from ..training.run import Pending

#: What DeepXDE's callbacks remember from one iteration to the next.
_REMEMBERED = {
    dde.callbacks.PDEPointResampler: ("epochs_since_last_resample",),
    dde.callbacks.ModelCheckpoint: ("epochs_since_last_save", "best"),
    dde.callbacks.EarlyStopping: ("wait", "best", "stopped_epoch"),
    dde.callbacks.VariableValue: ("epochs_since_last",),
    dde.callbacks.OperatorPredictor: ("epochs_since_last",),
    dde.callbacks.DropoutUncertainty: ("epochs_since_last",),
}

_TRAIN_STATE = (
    "iteration",
    "step",
    "loss_train",
    "loss_test",
    "metrics_test",
    "y_std_test",
    "best_step",
    "best_loss_train",
    "best_loss_test",
    "best_y",
    "best_ystd",
    "best_metrics",
)
_HISTORY = ("steps", "loss_train", "loss_test", "metrics_test", "loss_weights")


class PendingRun:
    """A run's state that waits for training to begin.

    Training begins with an evaluation, a record and the callbacks' `on_train_begin`. A run that is
    taken up in the middle of a `train` has had all that: `begin` undoes it.

    Args:
        state: What :func:`capture` gave.
        buffers: The network's buffers (batch normalization, ...), by name.
    """

    def __init__(self, state: dict[str, Any], buffers: dict[str, Tensor]):
        self.state = state
        self.buffers = buffers

    def begin(self, model: dde.Model) -> None:
        """Called when training begins, after the callbacks' `on_train_begin`."""
        if self.state["in_train"]:
            self._undo_beginning(model)
        waiting = list(_unplain(self.state["callbacks"]))
        for callback in _callbacks(model):
            if not (self.state["in_train"] or hasattr(callback, "load_state_dict")):
                continue  # DeepXDE's own start afresh in each train
            for saved in waiting:
                if saved["name"] == type(callback).__name__:
                    waiting.remove(saved)
                    _recall(callback, saved["state"])
                    break
        if self.state["in_train"]:
            model.stop_training = self.state["stop_training"] and self._stops_again(model)

    def _undo_beginning(self, model: dde.Model) -> None:
        with torch.no_grad():
            for name, buffer in model.net.named_buffers():
                if name in self.buffers:
                    buffer.copy_(self.buffers[name])
        disregarded = model.train_state.best_loss_train == np.inf
        restore_counters(model, self.state, but_best=disregarded)
        restore_draws(model, self.state)

    def _stops_again(self, model: dde.Model) -> bool:
        """Whether what stopped the saved run is still there: a nan, or no progress.

        The end of a time limit, or a script's own reason, is not: then the run goes on.
        """
        return model.stop_training or any(
            isinstance(callback, dde.callbacks.EarlyStopping) and callback.wait >= callback.patience
            for callback in _callbacks(model)
        )


def capture(model: dde.Model, in_train: bool, pending: Pending | None) -> dict[str, Any]:
    """The run's counters, history, random states, points and callbacks.

    Everything in it is a plain Python value or a tensor: ``torch.load`` reads it with
    ``weights_only=True``.

    Args:
        model: The model.
        in_train: Whether the model is in the middle of a `train`.
        pending: What has been restored and waits for training to begin, which is then part of
            the state.

    Raises:
        TypeError: If a callback's state holds anything that can't be saved.
    """
    state = {
        "train_state": _plain(_attributes(model.train_state, _TRAIN_STATE)),
        "losshistory": _plain(_attributes(model.losshistory, _HISTORY)),
        "points": [_plain(drawn.points(owner)) for owner in _owners(model.data)],
    }
    if pending is not None:
        return pending.state | state
    return state | {
        "in_train": in_train,
        "stop_training": bool(model.stop_training),
        "samplers": [_plain(vars(sampler)) for sampler in drawn.samplers(model.data)],
        "chosen": _plain([bc.batch_indices for bc in drawn.conditions_in_batches(model.data)]),
        "callbacks": [_callback_state(callback) for callback in _callbacks(model)],
        "random": _random_state(),
    }


def restore_points(model: dde.Model, state: dict[str, Any]) -> None:
    """Puts the points that :func:`capture` found back into the model's data."""
    for owner, points in zip(_owners(model.data), _unplain(state["points"]), strict=False):
        if points is not None:
            drawn.put_back(owner, points)


def restore_counters(model: dde.Model, state: dict[str, Any], but_best: bool = False) -> None:
    """Puts counters, best values and loss history back into the model."""
    for target, key in ((model.train_state, "train_state"), (model.losshistory, "losshistory")):
        for name, value in _unplain(state[key]).items():
            if not (but_best and name.startswith("best_")):
                setattr(target, name, value)


def restore_draws(model: dde.Model, state: dict[str, Any]) -> None:
    """Puts the random states and the mini-batches back."""
    samplers, conditions = list(drawn.samplers(model.data)), drawn.conditions_in_batches(model.data)
    if (len(samplers), len(conditions)) == (len(state["samplers"]), len(state["chosen"])):
        for sampler, saved in zip(samplers, _unplain(state["samplers"]), strict=True):
            vars(sampler).update(saved)
        for condition, chosen in zip(conditions, _unplain(state["chosen"]), strict=True):
            condition.batch_indices = chosen
    _set_random_state(state["random"])


def _owners(data: Any) -> list[Any]:
    """What has points: the data, and an operator's problem in it."""
    problem = problem_of(data)
    return [data] if problem is None or problem is data else [data, problem]


def _callback_state(callback: Any) -> dict[str, Any]:
    name = type(callback).__name__
    try:
        return {"name": name, "state": _plain(_remembered(callback))}
    except TypeError as error:
        raise TypeError(f"The state_dict of the callback {name} can't be saved: {error}") from error


def _callbacks(model: dde.Model) -> list[Any]:
    return [] if model.callbacks is None else model.callbacks.callbacks


def _remembered(callback: Any) -> dict[str, Any]:
    if hasattr(callback, "state_dict"):
        return callback.state_dict()
    if isinstance(callback, dde.callbacks.ModelCheckpoint) and callback.save_better_only:
        best = min(callback.best, callback.get_monitor_value())  # it notes that after saving
        return _attributes(callback, ("epochs_since_last_save",)) | {"best": best}
    for kind, names in _REMEMBERED.items():
        if isinstance(callback, kind):
            return _attributes(callback, names)
    return {}


def _recall(callback: Any, state: dict[str, Any]) -> None:
    if hasattr(callback, "load_state_dict"):
        callback.load_state_dict(state)
    else:
        for name, value in state.items():
            setattr(callback, name, value)


def _attributes(owner: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(owner, name) for name in names if hasattr(owner, name)}


def _random_state() -> dict[str, Any]:
    kind, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [kind, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *map(_plain, rest)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random_state(state: dict[str, Any]) -> None:
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), *map(_unplain, rest)))
    torch.set_rng_state(state["torch"].cpu())
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])


def _plain(value: Any) -> Any:
    """Arrays as marked tensors, in lists and mappings of any depth.

    Raises:
        TypeError: If there is anything else than numbers, text, arrays and tensors.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.array(value)  # a copy: the run goes on with the original
        if array.dtype.kind not in "biufc":
            raise TypeError(f"an array of {array.dtype}")
        return {"__array__": torch.from_numpy(array), "scalar": isinstance(value, np.generic)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_plain(item) for item in value)
    if value is None or isinstance(value, (bool, int, float, complex, str, Tensor)):
        return value
    raise TypeError(f"{value!r} of type {type(value).__name__}")


def _unplain(value: Any) -> Any:
    """What :func:`_plain` was given."""
    if isinstance(value, dict) and "__array__" in value:
        array = value["__array__"].cpu().numpy().copy()
        return array[()] if value["scalar"] else array
    if isinstance(value, dict):
        return {key: _unplain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_unplain(item) for item in value)
    return value
