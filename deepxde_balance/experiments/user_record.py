"""The record of a run of a user's own problem."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..results.record import Record, RecordError
from .criterion import worst_term

#: What a run is judged by.
Quantity = Literal["metric", "L2RE", "criterion"]


@dataclasses.dataclass(frozen=True)
class UserRecord(Record):
    """The record of a run of a user's own problem.

    `errors` and `final` have the criterion beside the metric or the L2RE.

    Args:
        test_losses: The unweighted test losses by term, each of shape (S,).
        point_weights_now: The ``"mean"`` and the ``"largest"`` of the points' weights at the end,
            by term; empty where no points are weighed, and in records that were written before
            records had this entry.
    """

    test_losses: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    point_weights_now: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> UserRecord:
        """Reads the record in a JSON file.

        Raises:
            RecordError: If the file is not the record of such a run.
        """
        record = Record.load(path)
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        given = content.get("test_losses")
        if not isinstance(given, dict) or given.keys() != record.losses.keys():
            raise RecordError(f"{path}: lacks the test losses: not a run of one's own problem.")
        test_losses = {
            name: np.array([math.nan if v is None else float(v) for v in values])
            for name, values in given.items()
        }
        for name, values in test_losses.items():
            if values.shape != record.steps.shape:
                raise RecordError(
                    f"{path}: test_losses[{name!r}] has {len(values)} values for "
                    f"{len(record.steps)} steps."
                )
        of_record = {
            field.name: getattr(record, field.name) for field in dataclasses.fields(Record)
        }
        criterion = worst_term(test_losses)
        of_record["errors"] = {**record.errors, "criterion": criterion}
        of_record["final"] = {**record.final, "criterion": float(criterion[-1])}
        return cls(
            **of_record,
            test_losses=test_losses,
            point_weights_now=_point_weights(content.get("point_weights_now", {}), record),
        )

    @property
    def quantity(self) -> Quantity:
        """What the run is judged by: the metric, the L2RE, or the criterion where there is none."""
        if "metric" in self.final:
            return "metric"
        return "L2RE" if "L2RE" in self.final else "criterion"

    @property
    def score(self) -> float:
        """The value of `quantity` at the end of training."""
        return self.final[self.quantity]

    @property
    def diverged(self) -> bool:
        """Whether the score is not finite."""
        return not math.isfinite(self.score)


def _point_weights(given: Any, record: Record) -> dict[str, dict[str, float]]:
    """The entry `point_weights_now` of a record, with nan for what was not finite."""
    try:
        return {
            term: {name: math.nan if value is None else float(value) for name, value in of.items()}
            for term, of in given.items()
        }
    except (TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"{record.path}: its point_weights_now are damaged: {error}.") from error
