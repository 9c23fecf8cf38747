"""The tables of a report, as Markdown."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from ..results.published import Published
from ..results.record import Record
from .case import Case, Summary, summary, verdict

#: Marks runs with less than the paper's points, iterations or seeds, or with other settings.
MARK = " †"


def case_table(case: Case) -> str:
    """A row for each strategy: errors with the published ones beside them, time per iteration."""
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
            columns[f"at best step %{mark}"] = [
                percent(summary(run.at_best_step() for run in runs))
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
        summaries = {name: final(runs, "L2RE") for name, runs in case.strategies.items()}
        best = min((s.mean for s in summaries.values() if not s.diverged), default=None)
        cells = []
        for strategy in strategies:
            own = summaries.get(strategy)
            text = "" if own is None else percent(own)
            bold = own is not None and not own.diverged and own.mean == best
            cells.append(f"**{text}**" if bold else text)
        columns[case.title + (MARK if case.differs or case.few_seeds else "")] = cells
    return table(columns)


def statement(case: Case) -> str:
    """The differences from the paper's settings, in one paragraph."""
    differences = case.differences()
    if not differences:
        whose = "paper" if case.paper_seeds else "problem"
        return f"At the {whose}'s full settings."
    word = "Shortened" if case.shortened or case.few_seeds else "Changed"
    return f"**{word} (†)** relative to the paper: {', '.join(differences)}."


def notes(case: Case) -> list[str]:
    """The sources of the published values, and the runs that ended before their last iteration."""
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
    """The number of runs with the same versions, device, machine, float type and threads."""
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
    """Summarises the runs' errors at the end of training."""
    return summary(run.final.get(quantity, math.nan) for run in runs)


def coefficient_error(runs: Iterable[Record], name: str) -> Summary:
    """Summarises |identified - true| of a coefficient at the end of training."""
    return summary(abs(run.final.get(name, math.nan) - run.true_coefficients[name]) for run in runs)


def percent(of: Summary) -> str:
    """Mean and standard deviation of fractions in %, and the runs that diverged: "0.9 ± 0.2"."""
    return _text(of, 100)


def seconds(of: Summary) -> str:
    """The mean to three digits; empty if there is none."""
    return "" if math.isnan(of.mean) else f"{of.mean:.3g}"


def table(columns: dict[str, list[str]]) -> str:
    """A Markdown table from the cells of its columns; the first is aligned left, others right."""
    rows = zip(*columns.values(), strict=True)
    lines = [
        "| " + " | ".join(columns) + " |",
        "|" + "|".join(["---", *["---:"] * (len(columns) - 1)]) + "|",
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


def _text(of: Summary, unit: float) -> str:
    """Mean and standard deviation times `unit`, and the number of runs that diverged."""
    if of.diverged == of.runs:
        return f"diverged ({of.runs} of {of.runs})"
    text = _mean_spread(unit * of.mean, None if math.isnan(of.std) else unit * of.std)
    return text + (f" ({of.diverged} of {of.runs} diverged)" if of.diverged else "")


def printed(result: Published | None, unit: float) -> str:
    """A published result times `unit`; says if its spread is not a standard deviation."""
    if result is None:
        return ""
    text = _mean_spread(unit * result.mean, result.spread and unit * result.spread)
    return text if result.spread is None or result.kind == "std" else f"{text} ({result.kind})"


def _mean_spread(mean: float, spread: float | None) -> str:
    """Mean ± spread with three decimals, as in the papers; if the mean is below 0.01, 1.23e-03."""
    form = ".3f" if mean == 0 or abs(mean) >= 0.01 else ".2e"
    return f"{mean:{form}}" + ("" if spread is None else f" ± {spread:{form}}")
