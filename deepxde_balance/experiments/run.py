"""A run of a benchmark problem: the inputs that decide its result, and the paths of its files."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from .. import problems
from ..checkpoints import checkpoint
from ..checkpoints.last import checkpoints
from ..problems import Problem, Settings
from ..results.record import Record, RecordError
from ..weightings import Weighting, words


class Recorded(Protocol):
    """A run with a place for its files, of a benchmark problem or of a user's own."""

    @property
    def iterations(self) -> int:
        """The number of iterations of all phases together."""

    def record(self, folder: str | os.PathLike[str]) -> Path:
        """The path of the run's JSON file in a folder of records."""

    def unfinished(self, folder: str | os.PathLike[str]) -> Path:
        """The path of the run's folder of checkpoints, deleted when the run is finished."""

    @property
    def identity(self) -> dict[str, Any]:
        """The entries by which a record is the record of this run, in the types of JSON."""


@dataclasses.dataclass(frozen=True)
class Run:
    """The inputs that decide the result of a run.

    Args:
        problem: The name of a problem.
        weights: A strategy's word, e.g. ``"dn:beta=0.9"``. The attribute becomes the word that
            :meth:`deepxde_balance.problems.Problem.full_word` makes of it.
        seed: The seed of the points and of the network.
        points: Factor on the paper's numbers of points.
        settings: Other settings of the problem, e.g. ``{"iterations": 2000}``.

    Raises:
        ValueError: If a name, a number or a parameter is not allowed.
        TypeError: If there is no such setting or parameter.
    """

    problem: str
    weights: str
    seed: int = 0
    points: float = 1.0
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        Settings.check_names(self.settings)
        problem = self.make_problem()
        object.__setattr__(self, "problem", problem.name)
        object.__setattr__(self, "weights", problem.full_word(self.weights))
        self.weighting(problem)  # raises if there is no such strategy or parameter

    def make_problem(self) -> Problem:
        """The problem with this run's settings."""
        return problems.get(self.problem, self.points, **self.settings)

    def weighting(self, problem: Problem) -> Weighting:
        """A new weighting; parameters that the word leaves out are the problem's."""
        if words.parse(self.weights).name == "keep":
            raise ValueError("'keep' keeps the weights of a phase before: a run has none.")
        weighting = problem.weighting(self.weights)
        if problem.settings.lbfgs_iterations and not weighting.can_be_frozen:
            raise ValueError(
                f"weights={self.weights!r} has no weights that L-BFGS could keep: take another "
                "strategy, or set lbfgs_iterations=0."
            )
        return weighting

    @property
    def iterations(self) -> int:
        """The number of iterations of Adam and L-BFGS together."""
        settings = self.make_problem().settings
        return settings.iterations + settings.lbfgs_iterations

    def record(self, folder: str | os.PathLike[str]) -> Path:
        """The path of the run's JSON file in a folder of records."""
        name = words.file_name(self.weights)
        return Path(folder) / self.problem / name / f"seed{self.seed}.json"

    def unfinished(self, folder: str | os.PathLike[str]) -> Path:
        """The path of the run's folder of checkpoints, deleted when the run is finished."""
        return self.record(folder).with_suffix(".unfinished")

    @property
    def identity(self) -> dict[str, Any]:
        """The entries by which a record is the record of this run, in the types of JSON."""
        settings = dataclasses.asdict(self.make_problem().settings)
        identity: dict[str, Any] = json.loads(
            json.dumps(
                {
                    "problem": self.problem,
                    "weights": self.weights,
                    "seed": self.seed,
                    "settings": settings,
                }
            )
        )
        return identity


class OtherRunError(ValueError):
    """The folder has a run of the same problem, strategy and seed with other settings."""


def finished(run: Recorded, folder: str | os.PathLike[str]) -> Record | None:
    """The record of a run; ``None`` if the run is not finished.

    Raises:
        RecordError: If the record is damaged.
        OtherRunError: If the folder has a run of the same name with other settings, finished or
            not.
        CheckpointError: If the last checkpoint of the run is damaged.
    """
    path = run.record(folder)
    if path.exists():
        record = Record.load(path)
        check_same(run.identity, {name: getattr(record, name) for name in run.identity}, path)
        return record
    started = run.unfinished(folder) / "run.json"
    if started.exists() and list(started.parent.glob("*.pt")):
        try:
            content = json.loads(started.read_text(encoding="utf-8"))
        except ValueError as error:
            raise RecordError(f"{started}: not JSON: {error}.") from error
        if not isinstance(content, dict):
            raise RecordError(f"{started}: not the settings of a run.")
        check_same(run.identity, content, started)
        for prefix in ("adam", "lbfgs"):
            for newest in checkpoints(started.parent / prefix)[-1:]:
                checkpoint.read(str(newest))
    return None


def check_same(identity: Mapping[str, Any], found: Mapping[str, Any], path: Path) -> None:
    """Raises an OtherRunError if the entries found in a file are not those of a run's identity.

    A setting that is None is the same as one that the file lacks: it is new since the file was
    written.
    """
    for name, value in identity.items():
        if _without_none(found.get(name)) == _without_none(value):
            continue
        there, here = found.get(name), value
        if isinstance(there, Mapping) and isinstance(here, Mapping):
            differing = [k for k in here if there.get(k) != here[k]]
            there, here = ({k: m.get(k) for k in differing} for m in (there, here))
        raise OtherRunError(
            f"{path} is of another run: {name} there {there}, here {here}. Choose another folder."
        )


def _without_none(value: Any) -> Any:
    """A mapping, and those in it, without the entries that are None; another value as it is."""
    if not isinstance(value, Mapping):
        return value
    return {name: _without_none(one) for name, one in value.items() if one is not None}
