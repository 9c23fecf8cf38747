"""Runs that may stand in one table, their means, and what sets them apart from the paper's."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import weightings
from ..problems.own_parameters import from_settings, is_papers
from ..results.published import SEEDS, Published, published
from ..results.record import Record
from ..weightings import words


@dataclasses.dataclass(frozen=True)
class Case:
    """The runs of one problem with the same settings.

    Args:
        title: The problem, numbered if there are several cases of it.
        strategies: Its runs by strategy, by ascending seed.
    """

    title: str
    strategies: Mapping[str, Sequence[Record]]

    @property
    def slug(self) -> str:
        """The title, for names of files."""
        return self.title.replace(" ", "-").replace("(", "").replace(")", "")

    @property
    def records(self) -> list[Record]:
        return [record for runs in self.strategies.values() for record in runs]

    @property
    def problem(self) -> str:
        return self.records[0].problem

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.records[0].settings

    @property
    def paper(self) -> Mapping[str, Any]:
        return self.records[0].paper

    @property
    def paper_seeds(self) -> int | None:
        """The number of seeds in the paper; ``None`` if nothing was published."""
        return SEEDS if published(self.problem, "equal") else None

    @property
    def few_seeds(self) -> bool:
        """Whether a strategy has fewer seeds than in the paper."""
        fewest = min(len(runs) for runs in self.strategies.values())
        return self.paper_seeds is not None and fewest < self.paper_seeds

    @property
    def differs(self) -> bool:
        """Whether the settings are not the paper's."""
        return self.settings != self.paper

    @property
    def shortened(self) -> bool:
        """Whether there are fewer points or iterations than in the paper."""
        there, here = self.paper.get("num_points", {}), self.settings.get("num_points", {})
        fewer = any(here.get(kind, 0) < number for kind, number in there.items())
        return fewer or self.settings["iterations"] < self.paper["iterations"]

    def published(self, strategy: str, quantity: str) -> Published | None:
        """What was published for a strategy as it was run here.

        That is: GW with the settings' alpha, and DN with bias correction, which has no published
        values, unless it was run without.
        """
        name, given = words.parse(strategy)
        parameters = from_settings(name, self.settings) | given
        if is_papers(name) and parameters["update_every"] == self.settings["update_every"]:
            del parameters["update_every"]  # the settings' is the tables'
        if name.startswith("dn"):
            parameters.setdefault("bias_correction", True)
        return published(self.problem, words.written(name, parameters), quantity)

    def differences(self) -> list[str]:
        """What is not as in the paper: "10 % of the points", "2 of 10 seeds", ..."""
        here, there = self.settings, self.paper
        texts = _points(here.get("num_points", {}), there.get("num_points", {}))
        if here["iterations"] != there["iterations"]:
            texts.append(f"{here['iterations']} of {there['iterations']} iterations")
        for name in sorted({*here, *there} - {"num_points", "iterations"}):
            if here.get(name) != there.get(name):
                texts.append(f"{name} {here.get(name)} instead of {there.get(name)}")
        if self.few_seeds:
            numbers = sorted({len(runs) for runs in self.strategies.values()})
            seeds = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
            texts.append(f"{seeds} of {self.paper_seeds} seeds")
        return texts


def cases(records: Iterable[Record]) -> list[Case]:
    """The records by problem, settings and float type; strategies in the registry's order."""
    together: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda r: (r.problem, _order(r.weights), r.seed)):
        settings = json.dumps([record.settings, record.paper, record.dtype], sort_keys=True)
        together.setdefault((record.problem, settings), []).append(record)
    found: list[Case] = []
    for (problem, _), runs in together.items():
        number = sum(case.problem == problem for case in found) + 1
        strategies: dict[str, list[Record]] = {}
        for run in runs:
            strategies.setdefault(run.weights, []).append(run)
        found.append(Case(problem if number == 1 else f"{problem} ({number})", strategies))
    return found


@dataclasses.dataclass(frozen=True)
class Summary:
    """Mean and sample standard deviation over the runs that did not diverge.

    Args:
        mean: nan if all diverged.
        std: nan if fewer than two did not.
        runs: All of them.
        diverged: How many have no finite value.
    """

    mean: float
    std: float
    runs: int
    diverged: int


def summary(values: Iterable[float]) -> Summary:
    """Of one value for each run; not finite: diverged."""
    every = np.array(list(values), dtype=float)
    finite = every[np.isfinite(every)]
    mean = float(finite.mean()) if len(finite) else math.nan
    std = float(finite.std(ddof=1)) if len(finite) > 1 else math.nan
    return Summary(mean, std, len(every), len(every) - len(finite))


def verdict(case: Case, strategy: str) -> str:
    """Whether the L2RE is as good as the published one, within its standard deviation.

    "ok" or "worse" at the paper's settings, with the number of seeds if it is smaller; "worse"
    also if a run diverged. Otherwise "shortened", or "other settings".
    """
    there = case.published(strategy, "L2RE")
    if there is None:
        return ""
    if case.differs:
        return "shortened" if case.shortened else "other settings"
    here = summary(run.final.get("L2RE", math.nan) for run in case.strategies[strategy])
    good = not here.diverged and here.mean <= there.mean + (there.std or 0.0)
    seeds = f" ({here.runs} of {SEEDS} seeds)" if here.runs < SEEDS else ""
    return ("ok" if good else "worse") + seeds


def _order(strategy: str) -> tuple[int, str]:
    names = weightings.names()
    name = words.parse(strategy).name
    return (names.index(name) if name in names else len(names), strategy)


def _points(here: Mapping[str, int], there: Mapping[str, int]) -> list[str]:
    if here == there:
        return []
    kinds = ", ".join(f"{k} {here.get(k, 0)} of {there.get(k, 0)}" for k in {**there, **here})
    most = max(there, key=lambda kind: there[kind], default=None)
    if most is None or here.keys() != there.keys():
        return [f"other points ({kinds})"]
    share = here[most] / there[most]
    if all(abs(here[k] - n * share) <= max(1, 2 - n * share) for k, n in there.items()):
        return [f"{100 * share:.3g} % of the points ({kinds})"]
    return [f"points: {kinds}"]
