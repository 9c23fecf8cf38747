"""The state of a run besides network, optimizer and weights: counters, points, callbacks."""

from __future__ import annotations

import copy
import random
from typing import Any

import deepxde as dde
import numpy as np
import torch
from torch import Tensor

from .._deepxde import sampled_points
from .._deepxde.batch import problem_of
from ..ranks import current
from ..training.best_step import LowerAtPresentWeights
from ..training.run import TrainingRun, run_of
from . import condition_data

#: The attributes that make up the state of DeepXDE's callbacks.
_CALLBACK_STATE = {
    dde.callbacks.PDEPointResampler: ("epochs_since_last_resample",),
    dde.callbacks.ModelCheckpoint: ("epochs_since_last_save", "best", "losses_at_best"),
    dde.callbacks.EarlyStopping: ("wait", "best", "losses_at_best", "stopped_epoch"),
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
    "losses_at_best",
    "record_weights",
)
_HISTORY = ("steps", "loss_train", "loss_test", "metrics_test", "loss_weights")


class PendingRun:
    """A restored state of a run that is applied when training begins.

    Training begins with an evaluation, a record and the callbacks' `on_train_begin`. A run that was
    saved in the middle of a `train` has done all this before, so `begin` undoes it.

    Args:
        state: What :func:`capture` returned.
        buffers: The network's buffers (batch normalization, ...), by name.
    """

    def __init__(self, state: dict[str, Any], buffers: dict[str, Tensor]):
        self.state = state
        self.buffers = buffers

    def begin(self, model: dde.Model) -> None:
        """Called when training begins, after the callbacks' `on_train_begin`."""
        if self.state["in_train"]:
            self._undo_beginning(model)
        unmatched = list(_from_plain(self.state["callbacks"]))
        for callback in _callbacks(model):
            if not (self.state["in_train"] or hasattr(callback, "load_state_dict")):
                continue  # DeepXDE's own callbacks start afresh in each `train`
            for saved in unmatched:
                if saved["name"] == type(callback).__name__:
                    unmatched.remove(saved)
                    _load_callback(callback, saved["state"])
                    break
        if self.state["in_train"]:
            model.stop_training = self.state["stop_training"] and self._stops_again(model)

    def _undo_beginning(self, model: dde.Model) -> None:
        """Restores what DeepXDE changes when it begins a `train`."""
        with torch.no_grad():
            for name, buffer in model.net.named_buffers():
                if name in self.buffers:
                    buffer.copy_(self.buffers[name])
        restore_counters(model, self.state)
        restore_draws(model, self.state)

    def _stops_again(self, model: dde.Model) -> bool:
        """Whether the reason that stopped the saved run still holds: a nan, or no progress.

        A time limit or a script's own reason does not hold any more, and training continues.
        """
        return model.stop_training or any(
            isinstance(callback, dde.callbacks.EarlyStopping) and callback.wait >= callback.patience
            for callback in _callbacks(model)
        )


def capture(model: dde.Model, run: TrainingRun) -> dict[str, Any]:
    """Returns the run's counters, loss history, random states, points and callbacks' states.

    All values are plain Python values or tensors, so that ``torch.load`` can read them with
    ``weights_only=True``.

    Args:
        model: The model.
        run: Its run. A restored state that has not been applied yet is saved again.

    Raises:
        TypeError: If a callback's state has a value of another type.
    """
    state = {
        "train_state": _plain(_attributes(model.train_state, _TRAIN_STATE)),
        "losshistory": _plain(_attributes(model.losshistory, _HISTORY)),
        "points": [_plain(sampled_points.points(owner)) for owner in _owners(model.data)],
        "conditions": _plain(condition_data.capture(model.data)),
    }
    if run.pending is not None:
        return run.pending.state | state
    conditions = sampled_points.conditions_in_batches(model.data)
    return state | {
        "in_train": run.in_training,
        "stop_training": bool(model.stop_training),
        "samplers": [_plain(vars(sampler)) for sampler in sampled_points.samplers(model.data)],
        "chosen": _plain([bc.batch_indices for bc in conditions]),
        "callbacks": [_named_state(callback, run) for callback in _callbacks(model)],
        "random": _random_state(),
    }


def conditions_difference(data: dde.data.Data, state: dict[str, Any]) -> str | None:
    """Describes why conditions at given points can't go on with saved ones; ``None`` if they can.

    Warns where their points or values are not those of the saved run.
    """
    saved = _from_plain({key: state.get(key) for key in ("conditions", "points", "chosen")})
    if saved["conditions"] is None:
        return condition_data.check_without(data, saved)
    return condition_data.check(data, saved["conditions"])


def restore_points(model: dde.Model, state: dict[str, Any]) -> None:
    """Restores the points of the model's data: sampled ones, and those given to conditions."""
    if "conditions" in state:
        condition_data.put_back(model.data, _from_plain(state["conditions"]))
    for owner, points in zip(_owners(model.data), _from_plain(state["points"]), strict=False):
        if points is not None:
            sampled_points.put_back(owner, points)


def restore_counters(model: dde.Model, state: dict[str, Any]) -> None:
    """Restores the model's counters, best values and loss history.

    What an earlier `train` has returned stays as it is: a script plots it after it has restored the
    best network. In the middle of a `train` callbacks may hold these objects, and they change.
    """
    for name in ("train_state", "losshistory"):
        present = getattr(model, name)
        restored = present if run_of(model).in_training else copy.copy(present)
        for key, value in _from_plain(state[name]).items():
            setattr(restored, key, value)
        setattr(model, name, restored)


def restore_draws(model: dde.Model, state: dict[str, Any]) -> None:
    """Restores the random states and the mini-batches."""
    samplers = list(sampled_points.samplers(model.data))
    conditions = sampled_points.conditions_in_batches(model.data)
    if (len(samplers), len(conditions)) == (len(state["samplers"]), len(state["chosen"])):
        for sampler, saved in zip(samplers, _from_plain(state["samplers"]), strict=True):
            vars(sampler).update(saved)
        for condition, chosen in zip(conditions, _from_plain(state["chosen"]), strict=True):
            condition.batch_indices = chosen
    _set_random_state(state["random"])


def _owners(data: Any) -> list[Any]:
    """The objects that hold points: the data and, for a PDEOperator, the problem in it."""
    problem = problem_of(data)
    return [data] if problem is None or problem is data else [data, problem]


def _named_state(callback: Any, run: TrainingRun) -> dict[str, Any]:
    """A callback's class and its state, in plain values."""
    name = type(callback).__name__
    try:
        return {"name": name, "state": _plain(_state_of(callback, run))}
    except TypeError as error:
        raise TypeError(f"The state_dict of the callback {name} can't be saved: {error}") from error


def _callbacks(model: dde.Model) -> list[Any]:
    return [] if model.callbacks is None else model.callbacks.callbacks


def _state_of(callback: Any, run: TrainingRun) -> dict[str, Any]:
    """A callback's `state_dict`, or the attributes that are known to be its state."""
    if hasattr(callback, "state_dict"):
        state: dict[str, Any] = callback.state_dict()
        return state
    if run.in_training and callback in run.counts:
        return _after_iteration(callback, run.counts[callback])
    for kind, names in _CALLBACK_STATE.items():
        if isinstance(callback, kind):
            return _attributes(callback, names)
    return {}


def _after_iteration(callback: dde.callbacks.ModelCheckpoint, count: int) -> dict[str, Any]:
    """The state of a ``ModelCheckpoint`` at the end of an iteration, in the middle of which it is.

    It sets `best` after it has saved the model, and one that saves before others have counted is
    not to let them count the iteration again.

    Args:
        callback: The callback.
        count: Its count when the callbacks of the iteration began.
    """
    due = count + 1 >= callback.period
    state = {"epochs_since_last_save": 0 if due else count + 1}
    if not (due and callback.save_better_only):
        return state | _attributes(callback, ("best", "losses_at_best"))
    if isinstance(callback.monitor_op, LowerAtPresentWeights):
        return state | callback.monitor_op.state_after()
    return state | {"best": min(callback.best, callback.get_monitor_value())}


def _load_callback(callback: Any, state: dict[str, Any]) -> None:
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
    np.random.set_state((kind, keys.cpu().numpy().astype(np.uint32), *map(_from_plain, rest)))
    torch.set_rng_state(state["torch"].cpu())
    if current() is not None and state["cuda"]:
        # Rank 0 has saved the states of all GPUs, of which it uses the first; this one is alike.
        torch.cuda.set_rng_state(state["cuda"][0].cpu())
    elif len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])


def _plain(value: Any) -> Any:
    """Replaces NumPy's arrays and numbers by marked tensors, in lists and mappings of any depth.

    Raises:
        TypeError: If a value is no number, text, array or tensor.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.array(value)  # a copy, since the run changes the original
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


def _from_plain(value: Any) -> Any:
    """Undoes :func:`_plain`."""
    if isinstance(value, dict) and "__array__" in value:
        array = value["__array__"].cpu().numpy().copy()
        return array[()] if value["scalar"] else array
    if isinstance(value, dict):
        return {key: _from_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_from_plain(item) for item in value)
    return value
