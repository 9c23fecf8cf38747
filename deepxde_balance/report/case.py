"""Runs that can be compared in one table, their means, and their differences from the paper."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import weightings
from ..problems.strategy_parameters import from_settings, is_papers
from ..results.published import SEEDS, Published, published
from ..results.record import Record
from ..weightings import words


@dataclasses.dataclass(frozen=True)
class Case:
    """The runs of one problem with the same settings.

    Args:
        title: The name of the problem, with a number from its second case on.
        strategies: The runs of each strategy, by ascending seed.
    """

    title: str
    strategies: Mapping[str, Sequence[Record]]

    @property
    def slug(self) -> str:
        """The title in a form for names of files."""
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
        """Whether any strategy has fewer seeds than in the paper."""
        fewest = min(len(runs) for runs in self.strategies.values())
        return self.paper_seeds is not None and fewest < self.paper_seeds

    @property
    def differs(self) -> bool:
        """Whether the settings are not the paper's."""
        return self.settings != self.paper

    @property
    def shortened(self) -> bool:
        """Whether there are fewer points or iterations than in the paper."""
        of_paper, of_runs = self.paper.get("num_points", {}), self.settings.get("num_points", {})
        fewer = any(of_runs.get(kind, 0) < number for kind, number in of_paper.items())
        return fewer or self.settings["iterations"] < self.paper["iterations"]

    def published(self, strategy: str, quantity: str) -> Published | None:
        """The published result of a strategy with the parameters that it was run with.

        Left out, GW's alpha is that of the settings. DN was run with bias correction unless its
        word says otherwise, and that has no published results.

        Args:
            strategy: The strategy's word.
            quantity: See :func:`deepxde_balance.results.published.published`.
        """
        name, given = words.parse(strategy)
        parameters = from_settings(name, self.settings) | given
        if is_papers(name) and parameters["update_every"] == self.settings["update_every"]:
            del parameters["update_every"]  # the papers' tables use that of the settings
        if name.startswith("dn"):
            parameters.setdefault("bias_correction", True)
        return published(self.problem, words.written(name, parameters), quantity)

    def differences(self) -> list[str]:
        """The differences from the paper: "10 % of the points", "2 of 10 seeds", ..."""
        own, paper = self.settings, self.paper
        texts = _points(own.get("num_points", {}), paper.get("num_points", {}))
        if own["iterations"] != paper["iterations"]:
            texts.append(f"{own['iterations']} of {paper['iterations']} iterations")
        for name in sorted({*own, *paper} - {"num_points", "iterations"}):
            if own.get(name) != paper.get(name):
                texts.append(f"{name} {own.get(name)} instead of {paper.get(name)}")
        if self.few_seeds:
            numbers = sorted({len(runs) for runs in self.strategies.values()})
            seeds = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
            texts.append(f"{seeds} of {self.paper_seeds} seeds")
        return texts


def cases(records: Iterable[Record]) -> list[Case]:
    """One case for each problem, settings and float type; strategies in the registry's order."""
    by_settings: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda r: (r.problem, _order(r.weights), r.seed)):
        settings = json.dumps([record.settings, record.paper, record.dtype], sort_keys=True)
        by_settings.setdefault((record.problem, settings), []).append(record)
    found: list[Case] = []
    for (problem, _), runs in by_settings.items():
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
        mean: The mean; nan if all runs diverged.
        std: The sample standard deviation; nan if fewer than two runs did not diverge.
        runs: The number of all runs.
        diverged: The number of runs that diverged.
    """

    mean: float
    std: float
    runs: int
    diverged: int


def summary(values: Iterable[float]) -> Summary:
    """Summarises one value per run; a run whose value is not finite diverged."""
    array = np.array(list(values), dtype=float)
    finite = array[np.isfinite(array)]
    mean = float(finite.mean()) if len(finite) else math.nan
    std = float(finite.std(ddof=1)) if len(finite) > 1 else math.nan
    return Summary(mean, std, len(array), len(array) - len(finite))


def verdict(case: Case, strategy: str) -> str:
    """Whether the mean L2RE is at most the published mean plus one standard deviation.

    Returns:
        At the paper's settings ``"ok"`` or ``"worse"``, with the number of seeds if it is smaller
        than in the paper; a strategy of which a run diverged is ``"worse"``. At other settings
        ``"shortened"`` or ``"other settings"``. Empty if nothing was published.
    """
    result = case.published(strategy, "L2RE")
    if result is None:
        return ""
    if case.differs:
        return "shortened" if case.shortened else "other settings"
    own = summary(run.final.get("L2RE", math.nan) for run in case.strategies[strategy])
    good = not own.diverged and own.mean <= result.mean + (result.std or 0.0)
    seeds = f" ({own.runs} of {SEEDS} seeds)" if own.runs < SEEDS else ""
    return ("ok" if good else "worse") + seeds


def _order(strategy: str) -> tuple[int, str]:
    """The sort key of a strategy's word: the registry's order, unknown strategies last."""
    names = weightings.names()
    name = words.parse(strategy).name
    return (names.index(name) if name in names else len(names), strategy)


def _points(own: Mapping[str, int], paper: Mapping[str, int]) -> list[str]:
    """The difference in the numbers of points, in words; empty if there is none."""
    if own == paper:
        return []
    kinds = ", ".join(f"{k} {own.get(k, 0)} of {paper.get(k, 0)}" for k in {**paper, **own})
    most = max(paper, key=lambda kind: paper[kind], default=None)
    if most is None or own.keys() != paper.keys():
        return [f"other points ({kinds})"]
    share = own[most] / paper[most]
    # One common share, but for rounding and for the least number of points, which is 2.
    if all(abs(own[k] - n * share) <= max(1, 2 - n * share) for k, n in paper.items()):
        return [f"{100 * share:.3g} % of the points ({kinds})"]
    return [f"points: {kinds}"]
