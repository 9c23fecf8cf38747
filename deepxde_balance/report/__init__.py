"""A report on runs: tables with the published values beside one's own, and figures."""

from __future__ import annotations

import os
from pathlib import Path

from .._files import replaced
from ..results import record as records
from .case import Case, cases
from .figures import save_figures
from .tables import case_table, environment_table, notes, statement, summary_table

__all__ = ["report"]


def report(folder: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> Path:
    """Writes ``README.md`` and its figures from the records of all runs in a folder.

    Args:
        folder: The folder of the records.
        out: The folder to write to; ``report`` in `folder` by default.

    Returns:
        The path of ``README.md``.

    Raises:
        RecordError: If a record is damaged.
        ValueError: If there is no record.
    """
    runs = records.read(folder)
    if not runs:
        raise ValueError(f"{folder}: there is no record of a run (PROBLEM/STRATEGY/seedN.json).")
    out = Path(folder, "report") if out is None else Path(out)
    out.mkdir(parents=True, exist_ok=True)
    found = cases(runs)
    parts = [_head(found), *(_section(case, out) for case in found)]
    parts.append("## How it was run\n\n" + environment_table(runs))
    path = out / "README.md"
    with replaced(path) as beside:
        beside.write_text("\n".join(parts), encoding="utf-8")
    return path


def _head(found: list[Case]) -> str:
    return "\n".join(
        [
            "# Results\n",
            "L2RE in %: mean ± sample standard deviation over the seeds, lowest mean bold.",
            "Last fifth: not of the last iteration, but each run's median over its last fifth;",
            "at best step: at the best recorded step, which ModelCheckpoint keeps if asked to.",
            "† with less than the paper's points, iterations or seeds, or with other settings;",
            "what exactly is said above each problem's table.\n",
            summary_table(found),
        ]
    )


def _section(case: Case, out: Path) -> str:
    lines = [f"## {case.title}\n", statement(case) + "\n", case_table(case)]
    lines += [f"- {note}" for note in notes(case)]
    for caption, file in save_figures(case, out).items():
        lines.append(f"\n**{caption}**\n\n![{caption}]({file})")
    return "\n".join(lines) + "\n"
