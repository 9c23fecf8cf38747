"""The record of a run: its problem, settings and results, in a JSON and an NPZ file."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .._files import replaced

__all__ = ["FORMAT", "Fields", "Record", "RecordError", "read", "write_json"]

#: The number of the JSON format.
FORMAT = 1


class RecordError(ValueError):
    """A file is not the record of a run. The message says which file, and what is wrong."""


@dataclasses.dataclass(frozen=True)
class Fields:
    """The arrays of a run, from the NPZ file beside its JSON file.

    Args:
        points: The evaluation grid, a full tensor grid (``ij``-indexed), shape (N, d).
        prediction: The network's prediction at the points, shape (N, k).
        solution: The reference solution at the points, shape (N, k).
        histogram_steps: The iterations that have histograms, shape (S,).
        histogram_groups: The names of the groups, shape (G,).
        histogram_edges: The edges of the bins, shape (S, G, B + 1).
        histogram_counts: The number of entries of the group's unweighted gradient in each bin,
            shape (S, G, B).
    """

    points: np.ndarray
    prediction: np.ndarray
    solution: np.ndarray
    histogram_steps: np.ndarray
    histogram_groups: np.ndarray
    histogram_edges: np.ndarray
    histogram_counts: np.ndarray

    @property
    def error(self) -> np.ndarray:
        """|prediction - solution|, shape (N, k)."""
        error: np.ndarray = np.abs(self.prediction - self.solution)
        return error

    @property
    def axes(self) -> list[np.ndarray]:
        """The grid's coordinates along each dimension."""
        return [np.unique(column) for column in self.points.T]


@dataclasses.dataclass(frozen=True)
class Record:
    """The record of one run. Numbers that were not finite are nan.

    Args:
        path: The JSON file.
        problem: The name of the problem.
        weights: The strategy's word, e.g. ``"dn:beta=0.9"``.
        seed: The seed of the points and of the network.
        settings: The settings of the run.
        paper: The settings of the problem's paper.
        versions: The versions of this package, of its main dependencies and of Python.
        device: ``"cpu"``, ``"cuda:0"``, ...
        machine: The name of the CPU or GPU.
        threads: The number of PyTorch's CPU threads.
        dtype: DeepXDE's float type.
        loss_terms: The names of the loss terms.
        groups: The names of each group's terms, the reference first.
        steps: The recorded iterations, shape (S,).
        losses: The unweighted losses by term, each of shape (S,).
        loss_weights: The applied weights by group, each of shape (S,).
        errors: ``"L2RE"`` and ``"MAE"`` as fractions, each of shape (S,).
        coefficients: The identified coefficients by name, each of shape (S,).
        true_coefficients: The true values of the coefficients.
        final: The errors and coefficients at the end.
        weights_now: The weights at the end, by group.
        seconds: The duration of the training, the time for recording included.
        seconds_per_iteration: The mean duration of an iteration, without the time for recording.
        gradient_engine: The gradient engine at the end; empty in a record that was written before
            records had this entry.
    """

    path: Path
    problem: str
    weights: str
    seed: int
    settings: Mapping[str, Any]
    paper: Mapping[str, Any]
    versions: Mapping[str, str]
    device: str
    machine: str
    threads: int
    dtype: str
    loss_terms: list[str]
    groups: Mapping[str, list[str]]
    steps: np.ndarray
    losses: Mapping[str, np.ndarray]
    loss_weights: Mapping[str, np.ndarray]
    errors: Mapping[str, np.ndarray]
    coefficients: Mapping[str, np.ndarray]
    true_coefficients: Mapping[str, float]
    final: Mapping[str, float]
    weights_now: Mapping[str, float]
    seconds: float
    seconds_per_iteration: float
    gradient_engine: str = ""

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Record:
        """Reads the record in a JSON file.

        Raises:
            RecordError: If the file can't be read, is not JSON, has another format, or lacks
                an entry.
        """
        path = Path(path)
        content = _content(path)
        try:
            values = {name: _CONVERT[name](content[name]) for name in _NAMES if name in _CONVERT}
            present = [name for name in _NAMES if name in content]
            record = cls(path, **{name: values.get(name, content[name]) for name in present})
            _check(record)
        except RecordError:
            raise
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise RecordError(f"{path}: a value is not what it should be: {error}.") from error
        return record

    @cached_property
    def fields(self) -> Fields:
        """The arrays of the run, read at the first use.

        Raises:
            RecordError: If the NPZ file is missing or damaged, or lacks an array.
        """
        path = self.path.with_suffix(".npz")
        names = [field.name for field in dataclasses.fields(Fields)]
        try:
            with np.load(path, allow_pickle=False) as arrays:
                _check_missing(path, names, arrays)
                return Fields(**{name: arrays[name] for name in names})
        except RecordError:
            raise
        except Exception as error:  # a damaged file may raise any exception
            raise RecordError(f"{path}: can't be read: {error}.") from error

    def group_losses(self) -> dict[str, np.ndarray]:
        """The unweighted losses summed by group, each of shape (S,)."""
        return {
            group: np.sum([self.losses[term] for term in terms], axis=0)
            for group, terms in self.groups.items()
        }

    def over_last_fifth(self, quantity: str = "L2RE") -> float:
        """The median error over the last fifth of the iterations; nan if the run diverged.

        At a constant learning rate the error oscillates, so that the error at the last iteration
        is a matter of chance.

        Raises:
            RecordError: If the run has no such error.
        """
        errors = self._error(quantity)
        return float(np.median(errors[self.steps >= 0.8 * self.steps[-1]]))

    def at_best_step(self, quantity: str = "L2RE") -> float:
        """The error at the best recorded iteration, as a training knows it.

        Two records are compared by their weighted losses, with the weights of the later one; see
        :mod:`deepxde_balance.training.best_step`. The error is nan if no loss was finite.

        Raises:
            RecordError: If the run has no such error.
        """
        errors, (losses, weights) = self._error(quantity), self.losses_and_weights()
        best = None
        for k in np.flatnonzero(np.isfinite(losses).all(axis=1)):
            if best is None or weights[k] @ losses[k] < weights[k] @ losses[best]:
                best = k
        return math.nan if best is None else float(errors[best])

    def losses_and_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """The unweighted losses of the terms and their weights, both of shape (S, T).

        Where a weight is negative, all are 1: with such a method, the sum of the losses is judged.
        """
        weight_of = {
            term: self.loss_weights[group] for group, terms in self.groups.items() for term in terms
        }
        ones = np.ones(len(self.steps))
        losses = np.stack(list(self.losses.values()), axis=-1)
        weights = np.stack([weight_of.get(term, ones) for term in self.losses], axis=-1)
        return losses, np.ones_like(weights) if (weights < 0).any() else weights

    def _error(self, quantity: str) -> np.ndarray:
        """The error by its name, shape (S,) with S above 0."""
        _check_missing(self.path, [quantity], self.errors)
        if not self.steps.size:
            raise RecordError(f"{self.path}: has no steps.")
        return self.errors[quantity]

    @property
    def diverged(self) -> bool:
        """Whether the error at the end is not finite."""
        return not math.isfinite(self.final.get("L2RE", math.nan))


def read(folder: str | os.PathLike[str]) -> list[Record]:
    """Reads the records of all runs in a folder, sorted by problem, strategy and seed.

    Raises:
        RecordError: If there is no such folder, or one of the records is damaged.
    """
    if not Path(folder).is_dir():
        raise RecordError(f"{folder}: there is no such folder.")
    records = [Record.load(path) for path in sorted(Path(folder).glob("*/*/seed*.json"))]
    return sorted(records, key=lambda record: (record.problem, record.weights, record.seed))


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Writes a JSON file with one key per line, in the order of `content`.

    The file is replaced as a whole, so that it is never half written. Numbers that are not finite
    become null, NumPy's numbers and arrays those of JSON.
    """
    lines = [f"{json.dumps(k)}: {json.dumps(_plain(v))}" for k, v in content.items()]
    with replaced(path) as beside:
        beside.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """The value in types that JSON has."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _numbers(value: Mapping[str, Any]) -> dict[str, float]:
    return {name: _number(v) for name, v in value.items()}


def _series(value: Mapping[str, Iterable[Any]]) -> dict[str, np.ndarray]:
    return {name: np.array([_number(v) for v in values]) for name, values in value.items()}


#: The entries of a record's JSON.
_NAMES = [field.name for field in dataclasses.fields(Record) if field.name != "path"]
_REQUIRED = [
    field.name
    for field in dataclasses.fields(Record)
    if field.name in _NAMES and field.default is dataclasses.MISSING
]
#: How an entry is made from its JSON; entries that are not named are taken as they are.
_CONVERT: dict[str, Callable[[Any], Any]] = {
    "seed": int,
    "steps": lambda value: np.array(value, dtype=int),
    "losses": _series,
    "loss_weights": _series,
    "errors": _series,
    "coefficients": _series,
    "true_coefficients": _numbers,
    "final": _numbers,
    "weights_now": _numbers,
    "seconds": _number,
    "seconds_per_iteration": _number,
}


def _content(path: Path) -> dict[str, Any]:
    """The entries in a JSON file, none of the required ones missing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: can't be read: {error}.") from error
    except json.JSONDecodeError as error:
        raise RecordError(f"{path}: not JSON: {error}.") from error
    if not isinstance(content, dict):
        raise RecordError(f"{path}: not the record of a run: no JSON object.")
    if content.get("format") != FORMAT:
        raise RecordError(
            f"{path}: its format is {content.get('format')!r}; this version reads {FORMAT}."
        )
    _check_missing(path, _REQUIRED, content)
    return content


def _check_missing(path: Path, names: Iterable[str], there: Iterable[str]) -> None:
    missing = sorted(set(names) - set(there))
    if missing:
        raise RecordError(f"{path}: lacks {', '.join(missing)}.")


def _check(record: Record) -> None:
    """Raises a RecordError if a series is not as long as `steps`, or a group has unknown terms."""
    for what in ("losses", "loss_weights", "errors", "coefficients"):
        for name, values in getattr(record, what).items():
            if values.shape != record.steps.shape:
                raise RecordError(
                    f"{record.path}: {what}[{name!r}] has {len(values)} values for "
                    f"{len(record.steps)} steps."
                )
    for group, terms in record.groups.items():
        _check_missing(record.path, terms, record.losses)
        if not terms:
            raise RecordError(f"{record.path}: group {group!r} has no terms.")
