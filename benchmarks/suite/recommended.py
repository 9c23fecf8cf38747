"""How often what `ddb.diagnose` recommends beats equal weights, by the suite's records.

    cd benchmarks
    python -m suite.recommended                 # the choosing half; trains nothing
    python -m suite.recommended --half judging --seeds 3

Each problem is made with seed 0 and looked at before training. The error of the recommended
strategy is then looked up, over that of `equal`, with the same seeds for both. What is missing
is named.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import deepxde as dde

import deepxde_balance as ddb
from deepxde_balance.report.tables import table

from . import Half, get, names
from .run import RESULTS
from .tables import error, records

#: A strategy is as good as equal weights when its error is at most this many times theirs.
WITHIN = 1.2


@dataclass(frozen=True)
class Outcome:
    """What is recommended for a problem, and what that gives.

    Args:
        problem: The problem's name.
        recommended: The strategy.
        scale: Whether it is recommended with factors for other units.
        ratio: Its error over that of `equal`; ``None`` if records are missing.
        missing: The strategies whose records are missing.
    """

    problem: str
    recommended: str
    scale: bool
    ratio: float | None
    missing: tuple[str, ...]

    @property
    def beats(self) -> bool:
        return self.ratio is not None and self.ratio < 1

    @property
    def within(self) -> bool:
        return self.ratio is not None and self.ratio <= WITHIN


def diagnosed(name: str) -> ddb.Diagnosis:
    """The diagnosis of a problem's untrained model, with seed 0."""
    dde.config.set_random_seed(0)
    setup = get(name).build()
    model = ddb.Model(setup.data, setup.net)
    model.compile("adam", lr=1e-3, verbose=0, **setup.compile)
    return ddb.diagnose(model)


def outcome(name: str, out: Path, seeds: int = 1) -> Outcome:
    """What is recommended for a problem, and what that gives by the records.

    Args:
        name: The problem's name.
        out: The folder of the records.
        seeds: The seeds 0, 1, ... that count; those that `equal` or the strategy lacks do not.
    """
    diagnosis = diagnosed(name)
    strategy, scaled = diagnosis.recommended, bool(diagnosis.scale)
    found = {
        word: {run.seed: run for run in runs if run.seed < seeds}
        for word, runs in records(name, out).items()
    }
    wanted = {"equal": found.get("equal", {}), strategy: found.get(strategy, {})}
    if scaled:  # the runs of the suite are without factors
        wanted[strategy] = {}
    common = sorted(set.intersection(*(set(runs) for runs in wanted.values())))
    if not common:
        missing = [word for word, runs in wanted.items() if not runs]
        return Outcome(name, strategy, scaled, None, tuple(missing or wanted))
    of_strategy, of_equal = (
        error([wanted[word][seed] for seed in common]) for word in (strategy, "equal")
    )
    return Outcome(name, strategy, scaled, of_strategy / of_equal, ())


def summary(outcomes: Sequence[Outcome]) -> str:
    """A row for each problem, and a line with the counts."""
    rows = [
        {
            "problem": f"`{o.problem}`",
            "recommended": f"`{o.recommended}`{' with scale' if o.scale else ''}",
            "ratio to `equal`": "" if o.ratio is None else f"{o.ratio:.2g}",
            "beats it": "" if o.ratio is None else _yes(o.beats),
            f"within {WITHIN:g}": "" if o.ratio is None else _yes(o.within),
            "missing": ", ".join(f"`{word}`" for word in o.missing),
        }
        for o in outcomes
    ]
    known = [o for o in outcomes if o.ratio is not None]
    counts = (
        f"{len(known)} of {len(outcomes)} problems have records: the recommendation beats equal "
        f"weights on {sum(o.beats for o in known)}, and is within {WITHIN:g} of them on "
        f"{sum(o.within for o in known)}; it is equal weights on "
        f"{sum(o.recommended == 'equal' and not o.scale for o in known)}."
    )
    return f"{table({title: [row[title] for row in rows] for title in rows[0]})}\n{counts}"


def _yes(answer: bool) -> str:
    return "yes" if answer else "no"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--half", choices=get_args(Half), default="choosing")
    parser.add_argument("--seeds", type=int, default=1, help="the seeds 0, 1, ... that count")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of the records")
    given = parser.parse_args()
    print(summary([outcome(name, given.out, given.seeds) for name in names(given.half)]))


if __name__ == "__main__":
    main()
