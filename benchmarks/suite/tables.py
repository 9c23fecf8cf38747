"""The suite's tables, made from the records of its finished runs.

A run's error is the median over its last fifth, where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from deepxde_balance.experiments.user_record import UserRecord
from deepxde_balance.report.tables import table
from deepxde_balance.weightings import words

#: From a run to its error.
OfRun = Callable[[UserRecord], float]

#: The strategies to which point weights are added.
ADDED_TO = ("equal", "auto", "db-kurtosis")


def has_points(strategy: str) -> bool:
    """Whether a strategy's name has point weights."""
    return len(words.split_points(strategy)) > 1


def records(name: str, out: Path) -> dict[str, list[UserRecord]]:
    """The finished runs of a problem by strategy."""
    found: dict[str, list[UserRecord]] = {}
    for path in sorted((out / name).glob("*/seed*.json")):
        record = UserRecord.load(path)
        found.setdefault(record.weights, []).append(record)
    return found


def in_last_fifth(run: UserRecord) -> float:
    """A run's median error over its last fifth."""
    return run.over_last_fifth("metric")


def at_best_step(run: UserRecord) -> float:
    """A run's error at its best step."""
    return run.at_best_step("metric")


def error(runs: Sequence[UserRecord], of_run: OfRun = in_last_fifth) -> float:
    """The geometric mean over the seeds of each run's error; inf if one is nan."""
    errors = [of_run(run) for run in runs]
    return float(np.exp(np.mean(np.log(errors)))) if np.isfinite(errors).all() else float("inf")


def ratios(
    problems: Sequence[str], out: Path, of_run: OfRun = in_last_fifth
) -> Mapping[str, Mapping[str, float]]:
    """For each strategy its error on each problem over that of `equal`, with the seeds of both."""
    found: dict[str, dict[str, float]] = {}
    for name in problems:
        runs = records(name, out)
        equal = {run.seed: run for run in runs.get("equal", [])}
        for strategy, of_strategy in runs.items():
            both = [run for run in of_strategy if run.seed in equal]
            if both:
                ratio = error(both, of_run) / error([equal[run.seed] for run in both], of_run)
                found.setdefault(strategy, {})[name] = ratio
    return found


def close_to_best(strategy: str, found: Mapping[str, Mapping[str, float]]) -> list[bool]:
    """For each problem whether a strategy's error is within 1.5 times that of the best other one.

    The others are those without point weights. A diverged strategy is close to none.

    Args:
        strategy: The strategy.
        found: The :func:`ratios` of all strategies.
    """
    others = [of for name, of in found.items() if name != strategy and not has_points(name)]
    best = {n: min(of[n] for of in others if n in of) for of in others for n in of}
    return [
        bool(np.isfinite(ratio)) and ratio <= 1.5 * best[n]
        for n, ratio in found[strategy].items()
        if n in best
    ]


def cells(problems: Sequence[str], out: Path, points: bool = False) -> str:
    """A table with the error of each strategy on each problem, and in brackets the ratio.

    The strategies are those without point weights, or those with.
    """
    found = {s: of for s, of in ratios(problems, out).items() if has_points(s) == points}
    errors = {name: {s: error(r) for s, r in records(name, out).items()} for name in problems}

    def cell(strategy: str, name: str) -> str:
        if name not in found[strategy]:
            return ""
        return f"{errors[name][strategy]:.2g} ({found[strategy][name]:.2g})"

    if points:
        problems = [name for name in problems if any(name in of for of in found.values())]
    columns = {"problem": list(problems)}
    return table(columns | {f"`{s}`": [cell(s, name) for name in problems] for s in found})


def summary(
    problems: Sequence[str], out: Path, points: bool = True, of_run: OfRun = in_last_fifth
) -> str:
    """A table with a row for each strategy: what its ratios to `equal` are like.

    Without `points`, strategies with point weights are left out.
    """
    of_all = ratios(problems, out, of_run)
    found = {s: of for s, of in of_all.items() if points or not has_points(s)}
    values = {s: np.array(list(of.values())) for s, of in found.items()}
    close = [close_to_best(s, found) for s in found]
    return table(
        {
            "strategy": [f"`{s}`" for s in found],
            "problems": [str(len(v)) for v in values.values()],
            "geometric mean": [f"{np.exp(np.log(v).mean()):.2g}" for v in values.values()],
            "worst": [f"{v.max():.2g}" for v in values.values()],
            "worse than 1.2": [f"{np.mean(v > 1.2):.0%}" for v in values.values()],
            "within 1.5 of the best other": [f"{np.mean(c):.0%}" if c else "" for c in close],
        }
    )


def by_kind(kinds: Mapping[str, str], out: Path, strategies: Sequence[str]) -> str:
    """A table of the ratios to `equal`, a row for each kind of problem.

    A cell has the geometric mean, and in brackets the smallest and the largest ratio.

    Args:
        kinds: The kind of each problem.
        out: The folder of the runs.
        strategies: The strategies, in the order of the columns.
    """
    found = ratios(list(kinds), out)

    def cell(strategy: str, kind: str) -> str:
        of = found.get(strategy, {})
        values = [of[name] for name, its in kinds.items() if its == kind and name in of]
        if not values:
            return ""
        mean = float(np.exp(np.log(values).mean()))
        return f"{mean:.2g} ({min(values):.2g} to {max(values):.2g})"

    rows = list(dict.fromkeys(kinds.values()))
    columns = {
        "kind": rows,
        "problems": [str(list(kinds.values()).count(kind)) for kind in rows],
    }
    return table(columns | {f"`{s}`": [cell(s, kind) for kind in rows] for s in strategies})


def few(problems: Mapping[str, str], out: Path) -> str:
    """A short table: the errors of `equal`, of `auto` and of the best strategy on each problem.

    In % of the solution; the best is without point weights.

    Args:
        problems: What a problem is called, by its name.
        out: The folder of the runs.
    """
    rows: dict[str, list[str]] = {title: [] for title in ("problem", "`equal`", "`auto`", "best")}
    for name, title in problems.items():
        found = {s: error(r) for s, r in records(name, out).items() if not has_points(s)}
        two = (percent(found[s]) if s in found else "" for s in ("equal", "auto"))
        best = min(found, key=found.__getitem__, default=None)
        cells = (title, *two, "" if best is None else f"{percent(found[best])} `{best}`")
        for column, text in zip(rows.values(), cells, strict=True):
            column.append(text)
    return table(rows)


def percent(ratio: float) -> str:
    """A ratio in %, with two digits."""
    return f"{float(f'{100 * ratio:.2g}'):g} %"


def tables(problems: Sequence[str], out: Path) -> str:
    """:func:`cells`, of the strategies with point weights, too, if there are any, and `summary`."""
    parts = [cells(problems, out)]
    if any(map(has_points, ratios(problems, out))):
        parts.append(cells(problems, out, points=True))
    return "\n\n".join([*parts, summary(problems, out)])


def added(problems: Sequence[str], out: Path) -> str | None:
    """A table of what point weights add to strategies; ``None`` where no run has any.

    A cell is about the errors with point weights over those of the strategy alone, with the seeds
    of both: the geometric mean over the problems that have both, the worst, and in brackets the
    number of problems. Problems on which the strategy alone diverged don't count.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for name in problems:
        runs = records(name, out)
        for word, with_points in runs.items():
            strategy, *rule = words.split_points(word)
            if not rule or strategy not in ADDED_TO:
                continue
            alone = {run.seed: run for run in runs.get(strategy, [])}
            both = [run for run in with_points if run.seed in alone]
            base = error([alone[run.seed] for run in both]) if both else float("inf")
            if np.isfinite(base):
                own = found.setdefault(rule[0], {}).setdefault(strategy, [])
                own.append(error(both) / base)
    if not found:
        return None

    def cell(values: Sequence[float]) -> str:
        mean = float(np.exp(np.log(values).mean()))
        return f"{mean:.2g}, worst {max(values):.2g} ({len(values)})"

    rules = sorted(found)
    columns = {"point weights": [f"`{rule}`" for rule in rules]}
    for strategy in ADDED_TO:
        of_rules = [found[rule].get(strategy, []) for rule in rules]
        columns[f"beside `{strategy}`"] = [cell(values) if values else "" for values in of_rules]
    return table(columns)


def beside_adam(problems: Sequence[str], adam: Path, other: Path) -> str | None:
    """A table of the errors with another optimizer, and in brackets over Adam's.

    With the seeds of both; ``None`` where no run has both.

    Args:
        problems: The names of the problems.
        adam: The folder of the runs with Adam.
        other: That of the runs with the other optimizer.
    """
    found: dict[str, dict[str, str]] = {}
    for name in problems:
        of_adam = records(name, adam)
        for strategy, of_other in records(name, other).items():
            base = {run.seed: run for run in of_adam.get(strategy, [])}
            both = [run for run in of_other if run.seed in base]
            if both:
                ratio = error(both) / error([base[run.seed] for run in both])
                found.setdefault(strategy, {})[name] = f"{error(both):.2g} ({ratio:.2g})"
    if not found:
        return None
    problems = [name for name in problems if any(name in of for of in found.values())]
    columns = {f"`{s}`": [of.get(name, "") for name in problems] for s, of in found.items()}
    return table({"problem": list(problems)} | columns)
