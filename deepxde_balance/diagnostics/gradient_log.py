"""The observations of a GradientMonitor: in memory a series by group, in a CSV file as rows."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from .._files import replaced
from .measures import Measures

HEADER = ("iteration", "quantity", "group", "other", "value")

#: The quantities that every group has: the attribute of a log, and the name in the CSV file.
BY_GROUP = {
    "losses": "loss",
    "gradient_norms": "gradient_norm",
    "weights": "weight",
    "shares": "share",
}
#: The same for the quantities of terms whose points are weighed.
BY_TERM = {
    "largest_point_weights": "largest_point_weight",
    "mean_point_weights": "mean_point_weight",
    "smallest_point_weights": "smallest_point_weight",
}
COSINE = "cosine"

Pair = tuple[str, str]
#: Iteration, quantity, group, the other group of a cosine (or ""), value.
Row = tuple[int, str, str, str, float]


@dataclass
class GradientLog:
    """The observations so far. Each list has one value per iteration in `steps`.

    The value is nan where a group was not observed.

    Args:
        steps: The iterations.
        losses: The losses by group, without weights, with static factors.
        gradient_norms: The 2-norms of the gradients of these losses by group.
        weights: The weights by group.
        shares: ||lambda_i g_i|| / sum_j ||lambda_j g_j|| by group.
        cosines: The cosine between two groups' gradients, by pair of names in the groups' order.
        largest_point_weights: The largest weight of a point by term, where points are weighed.
        mean_point_weights: Their mean.
        smallest_point_weights: The smallest of them.
    """

    steps: list[int] = field(default_factory=list)
    losses: dict[str, list[float]] = field(default_factory=dict)
    gradient_norms: dict[str, list[float]] = field(default_factory=dict)
    weights: dict[str, list[float]] = field(default_factory=dict)
    shares: dict[str, list[float]] = field(default_factory=dict)
    cosines: dict[Pair, list[float]] = field(default_factory=dict)
    largest_point_weights: dict[str, list[float]] = field(default_factory=dict)
    mean_point_weights: dict[str, list[float]] = field(default_factory=dict)
    smallest_point_weights: dict[str, list[float]] = field(default_factory=dict)

    def add(self, rows: list[Row]) -> None:
        """Appends the rows of one observation."""
        self.steps.append(rows[0][0])
        attributes = {quantity: name for name, quantity in (BY_GROUP | BY_TERM).items()}
        for _, quantity, group, other, value in rows:
            if quantity == COSINE:
                self._append(self.cosines, (group, other), value)
            else:
                self._append(getattr(self, attributes[quantity]), group, value)
        for series in self._series():
            for values in series.values():
                values += [math.nan] * (len(self.steps) - len(values))

    def _append(self, series: dict[Any, list[float]], key: str | Pair, value: float) -> None:
        values = series.setdefault(key, [math.nan] * (len(self.steps) - 1))
        values.append(value)

    def drop_from(self, step: int) -> None:
        """Removes the observations at iteration `step` and later."""
        number_before = sum(s < step for s in self.steps)
        del self.steps[number_before:]
        for series in self._series():
            for values in series.values():
                del values[number_before:]

    def _series(self) -> Iterator[dict[Any, list[float]]]:
        yield from (getattr(self, name) for name in BY_GROUP | BY_TERM)
        yield self.cosines

    def state_dict(self) -> dict[str, Any]:
        """A copy of the log, as plain values."""
        return {
            "steps": list(self.steps),
            **{name: _copied(getattr(self, name)) for name in BY_GROUP | BY_TERM},
            "cosines": _copied(self.cosines),
        }

    @classmethod
    def from_state_dict(cls, state: dict[str, Any]) -> GradientLog:
        """A new log from what :meth:`state_dict` returned."""
        log = cls(list(state["steps"]), cosines=_copied(state["cosines"]))
        for name in BY_GROUP | BY_TERM:
            setattr(log, name, _copied(state[name]))
        return log

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> GradientLog:
        """Reads the CSV file of a GradientMonitor.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is not the CSV of a GradientMonitor.
        """
        log = cls()
        by_step: dict[int, list[Row]] = {}
        for row in _read(Path(path)):
            by_step.setdefault(row[0], []).append(row)
        for rows in by_step.values():
            log.add(rows)
        return log


def rows_of(
    step: int, measures: Measures, point_weights: Mapping[str, np.ndarray] | None = None
) -> list[Row]:
    """The rows of one observation.

    Args:
        step: The iteration.
        measures: The losses, norms, weights and cosines at that iteration.
        point_weights: The weights of the points by term, where points are weighed.
    """
    values = {
        "losses": measures.losses,
        "gradient_norms": measures.norms,
        "weights": measures.weights,
        "shares": measures.shares,
    }
    rows: list[Row] = [
        (step, quantity, name, "", float(value))
        for attribute, quantity in BY_GROUP.items()
        for name, value in zip(measures.names, values[attribute], strict=True)
    ]
    for (i, a), (j, b) in combinations(enumerate(measures.names), 2):
        rows.append((step, COSINE, a, b, float(measures.cosines[i, j])))
    for name, weights in (point_weights or {}).items():
        numbers = (weights.max(), weights.mean(), weights.min())
        rows += [
            (step, quantity, name, "", float(value))
            for quantity, value in zip(BY_TERM.values(), numbers, strict=True)
        ]
    return rows


class CsvFile:
    """A CSV file to which each observation is appended at once.

    At the start of every training, the rows of its first iteration and later ones are removed. A
    run that was killed may have written such rows after its last checkpoint.

    Args:
        path: The file.

    Raises:
        ValueError: If the file exists, and is not the CSV of a GradientMonitor.
        FileNotFoundError: If the folder of the file does not exist.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        #: Whether the rows of later iterations have been removed.
        self._cut = False
        if self.path.exists():
            next(_read(self.path), None)  # checks the header
        elif not self.path.parent.is_dir():
            raise FileNotFoundError(f"csv={str(path)!r}: there is no folder {self.path.parent}.")

    def begin_training(self) -> None:
        """Called at the start of a training: the next `append` removes the later rows first."""
        self._cut = False

    def append(self, rows: list[Row]) -> None:
        """Adds the rows of one observation."""
        if not self._cut:
            before = list(_read(self.path)) if self.path.exists() else []
            with replaced(self.path) as beside, beside.open("w", newline="") as file:
                csv.writer(file).writerows([HEADER, *(r for r in before if r[0] < rows[0][0])])
            self._cut = True
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerows(rows)


def _read(path: Path) -> Iterator[Row]:
    """The rows of a file, without a last row that was not written to its end."""
    with path.open(newline="") as file:
        header = next(csv.reader(file), None)
        if header is not None and tuple(header) != HEADER:
            raise ValueError(
                f"{path} is no CSV of a GradientMonitor: its columns are {', '.join(header)}, not "
                f"{', '.join(HEADER)}."
            )
        for line in csv.reader(line for line in file if line.endswith("\n")):
            if len(line) == len(HEADER):
                yield int(line[0]), line[1], line[2], line[3], float(line[4])


def _copied(series: dict[Any, list[float]]) -> dict[Any, list[float]]:
    return {key: list(values) for key, values in series.items()}
