"""Judges criteria that need no solution by the errors in the suite's records. It trains nothing.

    cd benchmarks
    python -m suite.criterion                   # the choosing half
    python -m suite.criterion --half judging    # for the final table only

A criterion ranks the strategies of one problem and one seed, as a user's comparison does. Criterion
and error are medians over the last fifth. The rank correlation is Spearman's; seeds are averaged
first, then problems.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from scipy.stats import rankdata, spearmanr

from deepxde_balance.experiments.criterion import Losses, term_scales, worst_term
from deepxde_balance.experiments.user_record import UserRecord
from deepxde_balance.report.tables import table

from . import Half, names
from .run import RESULTS
from .tables import has_points, records

#: With two strategies, a rank correlation is 1 or -1.
FEWEST_STRATEGIES = 3

#: How much worse than the best strategy a criterion's winner may be.
FACTORS = (1.2, 2)

#: From the runs of a problem with one seed to a value for each, the smaller the better.
Criterion = Callable[[Sequence[UserRecord]], np.ndarray]


def over_last_fifth(run: UserRecord, values: np.ndarray) -> float:
    """The median over the last fifth of the iterations, as that of the error; inf if nan."""
    median = float(np.median(values[run.steps >= 0.8 * run.steps[-1]]))
    return math.inf if math.isnan(median) else median


def of_one_run(function: Callable[[Losses], np.ndarray]) -> Criterion:
    """The criterion of a function from the test losses of one run, without the other runs."""
    return lambda runs: np.array([over_last_fifth(run, function(run.test_losses)) for run in runs])


def of_all_runs(
    scale: Callable[[UserRecord, str], float],
    choose: Callable[[Sequence[float]], float],
    combine: Callable[[Sequence[np.ndarray]], np.ndarray],
) -> Criterion:
    """The criterion of the terms' losses over scales that all runs have in common.

    Args:
        scale: From a run and a term to the scale that this run gives the term.
        choose: From these scales of all runs to the scale of the term.
        combine: From the losses over the scales, each of shape (S,), to the criterion.
    """

    def criterion(runs: Sequence[UserRecord]) -> np.ndarray:
        scales = {term: choose([scale(r, term) for r in runs]) for term in runs[0].test_losses}
        relative = [[r.test_losses[t] / (s or 1.0) for t, s in scales.items()] for r in runs]
        pairs = zip(runs, relative, strict=True)
        return np.array([over_last_fifth(run, combine(terms)) for run, terms in pairs])

    return criterion


def _over_first(losses: Losses) -> list[np.ndarray]:
    """The losses over those of the untrained network; a loss of 0 there is as the largest."""
    largest = max(values[0] for values in losses.values())
    return [values / ((values[0] or largest) or 1.0) for values in losses.values()]


def mean_log(losses: Losses) -> np.ndarray:
    """The mean logarithm. Scales that the runs share would not change the order of the runs."""
    tiny = np.finfo(float).tiny
    return np.mean([np.log(np.maximum(values, tiny)) for values in losses.values()], axis=0)


def sum_of_ranks(runs: Sequence[UserRecord]) -> np.ndarray:
    """The runs are ranked by each term's loss over the last fifth; the sum of a run's ranks."""
    medians = [[_reached(run, term) for run in runs] for term in runs[0].test_losses]
    return np.asarray(rankdata(medians, axis=1).sum(axis=0))


def _largest(run: UserRecord, term: str) -> float:
    values = run.test_losses[term]
    return float(np.max(values, initial=0.0, where=np.isfinite(values)))


def _reached(run: UserRecord, term: str) -> float:
    return over_last_fifth(run, run.test_losses[term])


def _over_largest_so_far(losses: Losses) -> list[np.ndarray]:
    return [losses[term] / scale for term, scale in term_scales(losses).items()]


def _worst(terms: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(np.max(terms, axis=0))


def _sum(terms: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(np.sum(terms, axis=0))


#: Those of one run; then those that need all runs, which no curve over the iterations can show.
CANDIDATES: Mapping[str, Criterion] = {
    "worst, over largest so far (`worst_term`)": of_one_run(worst_term),
    "sum, over largest so far": of_one_run(lambda losses: _sum(_over_largest_so_far(losses))),
    "worst, over first": of_one_run(lambda losses: _worst(_over_first(losses))),
    "sum, over first": of_one_run(lambda losses: _sum(_over_first(losses))),
    "sum": of_one_run(lambda losses: _sum(list(losses.values()))),
    "geometric mean": of_one_run(mean_log),
    "worst, over largest of all runs": of_all_runs(_largest, max, _worst),
    "sum, over largest of all runs": of_all_runs(_largest, max, _sum),
    "worst, over best run": of_all_runs(_reached, min, _worst),
    "sum of ranks": sum_of_ranks,
}


@dataclass(frozen=True)
class Judgement:
    """How well a criterion does on a problem with one seed.

    Args:
        correlation: Spearman's rank correlation with the error; 0 if the criterion is the same
            for all strategies.
        regret: The error of the criterion's winner over the smallest error.
    """

    correlation: float
    regret: float


def judge(values: np.ndarray, errors: np.ndarray) -> Judgement:
    """Judges a criterion's values of the strategies by their errors; one of these is finite.

    Of several winners, that with the largest error counts.
    """
    alike = len(set(values)) == 1 or len(set(errors)) == 1
    correlation = 0.0 if alike else float(spearmanr(values, errors).statistic)
    winner = float(errors[values == values.min()].max())
    return Judgement(correlation, winner / float(errors.min()))


def by_seed(name: str, out: Path) -> list[list[UserRecord]]:
    """The runs of a problem, without point weights, for each seed that can be judged.

    At least ``FEWEST_STRATEGIES`` strategies ran with the seed, and one did not diverge.
    """
    found: dict[int, list[UserRecord]] = {}
    for strategy, runs in records(name, out).items():
        if has_points(strategy):
            continue
        for run in runs:
            found.setdefault(run.seed, []).append(run)
    return [
        found[seed]
        for seed in sorted(found)
        if len(found[seed]) >= FEWEST_STRATEGIES and np.isfinite(_errors(found[seed])).any()
    ]


def judgements(name: str, out: Path) -> dict[str, list[Judgement]]:
    """For each candidate its judgements on a problem, one for each seed."""
    seeds = by_seed(name, out)
    return {
        candidate: [judge(criterion(runs), _errors(runs)) for runs in seeds]
        for candidate, criterion in CANDIDATES.items()
    }


def chance(name: str, out: Path, factor: float) -> float:
    """The share of strategies within a factor of the best: a winner drawn at random."""
    errors = [_errors(runs) for runs in by_seed(name, out)]
    return float(np.mean([np.mean(e <= factor * e.min()) for e in errors]))


def _errors(runs: Sequence[UserRecord]) -> np.ndarray:
    return np.array([over_last_fifth(run, run.errors["metric"]) for run in runs])


def tables(problems: Sequence[str], out: Path) -> str:
    """Each candidate on each problem, and a summary for each candidate.

    A cell of the first has the rank correlation and, in brackets, the regret.

    Raises:
        ValueError: If no problem has records that can be judged.
    """
    of_problems = {name: judgements(name, out) for name in problems if by_seed(name, out)}
    if not of_problems:
        raise ValueError(
            f"out={str(out)!r} has no problem with finished runs of {FEWEST_STRATEGIES} strategies."
        )
    rows = [
        {"problem": f"`{name}`"} | {c: _cell(seeds) for c, seeds in of.items()}
        for name, of in of_problems.items()
    ]
    found = {c: [of[c] for of in of_problems.values()] for c in CANDIDATES}
    means = {c: [_mean(seeds) for seeds in of] for c, of in found.items()}
    rows.append({"problem": "mean"} | {c: _cell(of) for c, of in means.items()})
    summary = [
        {
            "criterion": candidate,
            "rank correlation": f"{_mean(means[candidate]).correlation:.2f}",
            **{f"within {f:g}": f"{_share_within(f, found[candidate]):.0%}" for f in FACTORS},
            "winner / best": f"{_mean(means[candidate]).regret:.3g}",
            "worst": f"{max(j.regret for seeds in found[candidate] for j in seeds):.3g}",
        }
        for candidate in CANDIDATES
    ]
    at_random = {f: np.mean([chance(name, out, f) for name in of_problems]) for f in FACTORS}
    summary.append(
        dict.fromkeys(summary[0], "")
        | {"criterion": "a winner drawn at random", "rank correlation": "0.00"}
        | {f"within {factor:g}": f"{share:.0%}" for factor, share in at_random.items()}
    )
    return f"{_of_rows(rows)}\n{_of_rows(summary)}"


def _of_rows(rows: Sequence[Mapping[str, str]]) -> str:
    return table({title: [row[title] for row in rows] for title in rows[0]})


def _cell(of: Sequence[Judgement]) -> str:
    mean = _mean(of)
    return f"{mean.correlation:.2f} ({mean.regret:.3g})"


def _mean(of: Sequence[Judgement]) -> Judgement:
    """The mean of the correlations, the geometric mean of the regrets."""
    regret = np.exp(np.mean(np.log([j.regret for j in of])))
    return Judgement(float(np.mean([j.correlation for j in of])), float(regret))


def _share_within(factor: float, of: Sequence[Sequence[Judgement]]) -> float:
    """The share of seeds whose winner is within a factor of the best, averaged over problems."""
    return float(np.mean([np.mean([j.regret <= factor for j in seeds]) for seeds in of]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--half", choices=get_args(Half), default="choosing")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of the records")
    given = parser.parse_args()
    try:
        print(tables(names(given.half), given.out), end="")
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
