"""The report's tables, as Markdown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from ..results.published import Published
from ..results.record import Record
from .case import Case, Summary, summary, verdict

#: Marks what was measured with less than in the paper.
MARK = " †"


def case_table(case: Case) -> str:
    """A row for each strategy: errors, beside what was published, and time per iteration."""
    mark = MARK if case.differs or case.few_seeds else ""
    coefficients = list(case.records[0].true_coefficients)
    columns = {
        "strategy": [f"`{strategy}`" for strategy in case.strategies],
        "seeds" + (MARK if case.few_seeds else ""): [
            str(len(runs)) for runs in case.strategies.values()
        ],
    }
    for quantity in ("L2RE", "MAE"):
        columns[f"{quantity} %{mark}"] = [
            percent(final(runs, quantity)) for runs in case.strategies.values()
        ]
        columns[f"published {quantity} %"] = [
            printed(case.published(strategy, quantity), 100) for strategy in case.strategies
        ]
        if quantity == "L2RE":
            columns["verdict"] = [verdict(case, strategy) for strategy in case.strategies]
            columns[f"last fifth %{mark}"] = [
                percent(summary(run.over_last_fifth() for run in runs))
                for runs in case.strategies.values()
            ]
            columns[f"at lowest loss %{mark}"] = [
                percent(summary(run.at_lowest_loss() for run in runs))
                for runs in case.strategies.values()
            ]
    for name in coefficients:
        columns[f"error of {name}, 1e-3{mark}"] = [
            _text(coefficient_error(runs, name), 1e3) for runs in case.strategies.values()
        ]
        columns[f"published error of {name}, 1e-3"] = [
            printed(case.published(strategy, name), 1e3) for strategy in case.strategies
        ]
    columns[f"s / iteration{mark}"] = [
        seconds(summary(run.seconds_per_iteration for run in runs))
        for runs in case.strategies.values()
    ]
    return table({name: cells for name, cells in columns.items() if any(cells)})


def summary_table(cases: Sequence[Case]) -> str:
    """L2RE in %: a row for each strategy, a column for each case.

    The lowest mean is bold, of those strategies of which no run diverged.
    """
    strategies = dict.fromkeys(strategy for case in cases for strategy in case.strategies)
    columns = {"strategy": [f"`{strategy}`" for strategy in strategies]}
    for case in cases:
        here = {name: final(runs, "L2RE") for name, runs in case.strategies.items()}
        best = min((s.mean for s in here.values() if not s.diverged), default=None)
        cells = []
        for strategy in strategies:
            text = percent(here[strategy]) if strategy in here else ""
            bold = strategy in here and not here[strategy].diverged and here[strategy].mean == best
            cells.append(f"**{text}**" if bold else text)
        columns[case.title + (MARK if case.differs or case.few_seeds else "")] = cells
    return table(columns)


def statement(case: Case) -> str:
    """What was shortened or changed, in one paragraph."""
    differences = case.differences()
    if not differences:
        whose = "paper" if case.paper_seeds else "problem"
        return f"At the {whose}'s full settings."
    word = "Shortened" if case.shortened or case.few_seeds else "Changed"
    return f"**{word} (†)** relative to the paper: {', '.join(differences)}."


def notes(case: Case) -> list[str]:
    """Where the published values come from, and which runs ended before their time."""
    sources = dict.fromkeys(
        result.source
        for strategy in case.strategies
        for quantity in ("L2RE", "MAE", *case.records[0].true_coefficients)
        if (result := case.published(strategy, quantity))
    )
    texts = [f"Published: {'; '.join(sources)}."] if sources else []
    for run in case.records:
        finite = np.isfinite(run.errors["L2RE"])
        last = max(run.steps[finite], default=0)
        if run.diverged:
            texts.append(f"Diverged: `{run.weights}`, seed {run.seed}, after iteration {last}.")
        elif last < case.settings["iterations"]:
            texts.append(f"Not finished: `{run.weights}`, seed {run.seed}, at iteration {last}.")
    return texts


def environment_table(records: Iterable[Record]) -> str:
    """How many runs had which versions, device, machine, float type and number of threads."""
    counts = Counter(
        (
            ", ".join(f"{name} {version}" for name, version in record.versions.items()),
            record.device,
            record.machine,
            record.dtype,
            str(record.threads),
        )
        for record in records
    )
    names = ("versions", "device", "machine", "float type", "threads")
    columns = {name: [row[i] for row in counts] for i, name in enumerate(names)}
    return table({"runs": [str(number) for number in counts.values()], **columns})


def final(runs: Iterable[Record], quantity: str) -> Summary:
    """Of the errors at the end."""
    return summary(run.final.get(quantity, math.nan) for run in runs)


def coefficient_error(runs: Iterable[Record], name: str) -> Summary:
    """Of |identified - true| at the end."""
    return summary(abs(run.final.get(name, math.nan) - run.true_coefficients[name]) for run in runs)


def percent(of: Summary) -> str:
    """Mean +- standard deviation of fractions, in %: "0.885 ± 0.257"; says what diverged."""
    return _text(of, 100)


def seconds(of: Summary) -> str:
    return "" if math.isnan(of.mean) else f"{of.mean:.3g}"


def table(columns: dict[str, list[str]]) -> str:
    """A Markdown table; the first column is aligned left, the others right."""
    rows = zip(*columns.values(), strict=True)
    lines = [
        "| " + " | ".join(columns) + " |",
        "|" + "|".join(["---", *["---:"] * (len(columns) - 1)]) + "|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _text(of: Summary, unit: float) -> str:
    if of.diverged == of.runs:
        return f"diverged ({of.runs} of {of.runs})"
    text = _mean_spread(unit * of.mean, None if math.isnan(of.std) else unit * of.std)
    return text + (f" ({of.diverged} of {of.runs} diverged)" if of.diverged else "")


def printed(result: Published | None, unit: float) -> str:
    """As the papers print it: mean ± spread, and what the spread is if no standard deviation."""
    if result is None:
        return ""
    text = _mean_spread(unit * result.mean, result.spread and unit * result.spread)
    return text if result.spread is None or result.kind == "std" else f"{text} ({result.kind})"


def _mean_spread(mean: float, spread: float | None) -> str:
    """Three decimals, as in the papers; three digits where that would leave fewer than two."""
    form = ".3f" if mean == 0 or abs(mean) >= 0.01 else ".2e"
    return f"{mean:{form}}" + ("" if spread is None else f" ± {spread:{form}}")
