"""The results that the papers published, for comparison with one's own.

The sources are Zhou et al. 2025 (here "DB": tables 1 to 3, supplement table 2) and Deguchi & Asai
2023 (here "DN": tables 1 to 4). Their means are over 10 runs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from .._checks import is_number
from ..weightings import words
from ..weightings.words import Word

__all__ = ["SEEDS", "Published", "published"]

#: The number of runs in every published mean, in both papers.
SEEDS = 10


@dataclasses.dataclass(frozen=True)
class Published:
    """A published result.

    Args:
        mean: The mean over :data:`SEEDS` runs; errors are fractions, not %.
        spread: The standard deviation or standard error; ``None`` if it was not published.
        source: Paper, table and column.
        kind: Which of the two `spread` is: ``"std"`` or ``"standard error"``.
    """

    mean: float
    spread: float | None
    source: str
    kind: str

    @property
    def std(self) -> float | None:
        """The standard deviation over the runs; ``None`` if no spread was published."""
        if self.spread is None or self.kind == "std":
            return self.spread
        return self.spread * math.sqrt(SEEDS)


def published(problem: str, weights: str, quantity: str = "L2RE") -> Published | None:
    """The result in the problem's paper for a strategy; ``None`` if there is none.

    The strategy must have the parameters of a column in the paper's tables. Parameters that its
    word leaves out are those of the paper's main results: GW's alpha is the problem's in the DB
    paper, and beta is 0.99 (alpha 0.01) in the DN paper. DN has no bias correction in any of the
    DN paper's tables. A strategy with any other parameter (``max_weight``, ...) is another method,
    without a published result.

    The ablations of the DB paper are ``"db-mean:allocation=pairwise"``,
    ``"db-mean:allocation=average"`` and ``"db-mean:average=ema:alpha=0.5"``.

    Args:
        problem: The name of a benchmark problem.
        weights: The strategy's word, e.g. ``"gw-mean:alpha=0.1"``.
        quantity: ``"L2RE"``, ``"MAE"``, or ``"C1"`` and ``"C2"`` for the absolute errors of the
            coefficients.
    """
    word = words.parse(words.normalized(weights))
    problem = problem.strip().lower().replace("_", "-")
    parameters = {**_OWN_COLUMN.get((problem, word.name), {}), **_as_in_the_tables(word)}
    for column in _RESULTS.get((problem, word.name, quantity), ()):
        if _same(column.parameters, parameters):
            return column.result
    return None


class _Column(NamedTuple):
    parameters: Mapping[str, Any]
    result: Published


# Each row as printed: mean and standard deviation in %, for one problem after the other.
_DB_PROBLEMS = [
    "klein-gordon",
    "wave",
    "helmholtz",
    "allen-cahn",
    "burgers-inverse",
    "navier-stokes",
]
_DB_L2RE = """
equal       7.272 3.566 39.870  1.612 7.174 2.434 52.439  9.180 1.651 0.588 10.661 1.382
uw          1.450 0.705 32.572  3.486 0.845 0.888 55.755  8.406 2.006 1.132 14.869 5.183
sa          3.696 1.085 33.867  2.085 2.413 0.418  5.815  1.311 0.775 0.516  8.183 1.479
gw-mean     2.062 0.890  2.126  0.360 0.796 0.125 10.968  4.945 0.812 0.738  5.597 0.964
gw-std      1.848 1.455  8.093 10.072 0.270 0.089 15.081 12.831 2.702 1.700  6.688 1.900
gw-kurtosis 1.262 0.403 17.361  7.938 0.331 0.071 53.039  8.753 1.830 1.364  6.048 1.744
db-mean     0.885 0.257  0.852  0.193 0.180 0.023  6.788  1.422 0.297 0.257  5.034 0.554
db-std      0.767 0.112  0.292  0.129 0.235 0.065  5.510  0.962 0.253 0.090  5.561 0.726
db-kurtosis 0.636 0.132  0.715  0.507 0.140 0.018  6.809  1.231 0.461 0.351  5.459 0.600
"""
_DB_MAE = """
equal       2.415 1.320 16.071 0.671 2.257 0.757
uw          0.478 0.227 13.094 1.386 0.314 0.368
sa          1.193 0.318 13.568 0.826 0.753 0.159
gw-mean     0.690 0.293  0.916 0.154 0.188 0.026
gw-std      0.623 0.494  3.369 4.117 0.105 0.037
gw-kurtosis 0.421 0.134  7.630 3.434 0.113 0.034
db-mean     0.297 0.092  0.373 0.084 0.055 0.008
db-std      0.254 0.041  0.128 0.056 0.093 0.025
db-kurtosis 0.214 0.049  0.293 0.214 0.052 0.009
"""
# The number of the table, and L2RE and MAE on klein-gordon: mean and standard deviation of each.
_DB_ABLATIONS = """
2 db-mean:allocation=pairwise         1.095 0.142 0.376 0.049
2 db-std:allocation=pairwise          0.969 0.204 0.329 0.070
2 db-kurtosis:allocation=pairwise     0.797 0.122 0.267 0.043
2 db-mean:allocation=average          0.985 0.175 0.336 0.062
2 db-std:allocation=average           0.899 0.152 0.302 0.052
2 db-kurtosis:allocation=average      0.776 0.113 0.263 0.038
3 db-mean:average=ema:alpha=0.5       1.486 0.534 0.490 0.163
3 db-std:average=ema:alpha=0.5        1.337 0.367 0.451 0.124
3 db-kurtosis:average=ema:alpha=0.5   1.205 0.273 0.405 0.092
3 db-mean:average=ema:alpha=0.2       1.305 0.474 0.440 0.164
3 db-std:average=ema:alpha=0.2        1.182 0.294 0.402 0.098
3 db-kurtosis:average=ema:alpha=0.2   1.112 0.248 0.378 0.086
3 db-mean:average=ema:alpha=0.01      1.034 0.306 0.347 0.102
3 db-std:average=ema:alpha=0.01       0.913 0.133 0.307 0.046
3 db-kurtosis:average=ema:alpha=0.01  0.859 0.193 0.292 0.067
"""
# Absolute errors of the identified C1 and C2, in units of 1e-3.
_DB_COEFFICIENTS = """
equal       0.792 0.898
db-mean     0.397 0.097
db-std      0.412 0.085
db-kurtosis 0.248 0.181
"""
_DB_ALPHA = dict(zip(_DB_PROBLEMS, (0.5, 0.1, 0.5, 0.1, 0.1, 0.1), strict=True))

# The unit of L2RE in each problem's table. Table 4 says 1e-2 for Burgers, but its rows for p = 2
# are those of table 1, whose unit is 1e-3.
_DN_PROBLEMS = {"burgers": 1e-3, "poisson": 1e-3, "allen-cahn-dn": 1e-2}
_DN_L2RE = """
equal   -     9.26 1.36 232.29 19.18 22.79 7.35
gw-mean 0.9   7.68 0.74   2.05  0.11  3.30 0.19
gw-std  0.9  10.26 2.62   1.47  0.11  2.08 0.23
dn      0.9  12.70 2.25   1.41  0.11  1.60 0.19
gw-mean 0.99  8.58 1.79   2.06  0.19  2.60 0.11
gw-std  0.99  7.12 1.28   1.13  0.11  1.50 0.17
dn      0.99  7.49 1.12   1.11  0.11  1.58 0.17
dn-l1   0.9  17.58 7.83   1.17  0.13  1.55 0.08
dn-linf 0.9  11.78 2.72   1.16  0.06  1.70 0.19
dn-l1   0.99  7.65 0.90   1.09  0.08  1.28 0.08
dn-linf 0.99  8.60 1.30   1.19  0.13  1.78 0.15
"""


def _as_in_the_tables(word: Word) -> dict[str, Any]:
    """The word's parameters as the tables have them: GW's beta for alpha, no default average."""
    parameters = dict(word.parameters)
    if word.name.startswith("gw-") and is_number(parameters.get("alpha")):
        parameters["beta"] = 1 - parameters.pop("alpha")
    if word.name.startswith("db-") and parameters.get("average") == "running-mean":
        del parameters["average"]
    return parameters


def _same(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return a.keys() == b.keys() and all(_equal(a[name], b[name]) for name in a)


def _equal(a: Any, b: Any) -> bool:
    if is_number(a) and is_number(b):
        return math.isclose(a, b, abs_tol=1e-9)  # rounding: 1 - 0.1 is not exactly 0.9
    return bool(a == b)


_Results = dict[tuple[str, str, str], list[_Column]]


def _rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()]


def _pairs(numbers: list[str]) -> list[tuple[float, float]]:
    return list(zip(map(float, numbers[::2]), map(float, numbers[1::2]), strict=True))


def _db_results() -> _Results:
    results: _Results = {}
    in_paper = len(_pairs(_rows(_DB_MAE)[0][1:]))
    for quantity, table in (("L2RE", _DB_L2RE), ("MAE", _DB_MAE)):
        for name, *numbers in _rows(table):
            for i, (mean, std) in enumerate(_pairs(numbers)):
                problem = _DB_PROBLEMS[i]
                where = "table 1" if i < in_paper else "supplement, table 2"
                result = Published(mean / 100, std / 100, f"Zhou et al. 2025, {where}", "std")
                own = _OWN_COLUMN.get((problem, name), {})
                results.setdefault((problem, name, quantity), []).append(_Column(own, result))
    for number, text, *numbers in _rows(_DB_ABLATIONS):
        word, source = words.parse(text), f"Zhou et al. 2025, table {number}"
        for quantity, (mean, std) in zip(("L2RE", "MAE"), _pairs(numbers), strict=True):
            column = _Column(word.parameters, Published(mean / 100, std / 100, source, "std"))
            results["klein-gordon", word.name, quantity].append(column)
    for name, *numbers in _rows(_DB_COEFFICIENTS):
        for quantity, error in zip(("C1", "C2"), map(float, numbers), strict=True):
            result = Published(error * 1e-3, None, "Zhou et al. 2025, supplement", "std")
            results["burgers-inverse", name, quantity] = [_Column({}, result)]
    return results


def _dn_results() -> _Results:
    results: _Results = {}
    for name, beta, *numbers in _rows(_DN_L2RE):
        for i, (problem, unit) in enumerate(_DN_PROBLEMS.items()):
            mean, error = _pairs(numbers)[i]
            parameters = {**_OWN_COLUMN.get((problem, name), {})}
            table = 4 if name in ("dn-l1", "dn-linf") else i + 1
            source = f"Deguchi & Asai 2023, table {table}"
            if beta != "-":
                parameters["beta"] = float(beta)
                source += f", beta = {beta}"
            if name.startswith("dn"):
                source += ", no bias correction"
            result = Published(mean * unit, error * unit, source, "standard error")
            results.setdefault((problem, name, "L2RE"), []).append(_Column(parameters, result))
    return results


# The parameters of the column that a strategy without parameters means, by problem and name.
_OWN_COLUMN: dict[tuple[str, str], dict[str, Any]] = {
    **{
        (problem, f"gw-{statistic}"): {"beta": 1 - alpha}
        for problem, alpha in _DB_ALPHA.items()
        for statistic in ("mean", "std", "kurtosis")
    },
    **{
        (problem, name): {"beta": 0.99}
        for problem in _DN_PROBLEMS
        for name in ("gw-mean", "gw-std")
    },
    **{
        (problem, name): {"beta": 0.99, "bias_correction": False}
        for problem in _DN_PROBLEMS
        for name in ("dn", "dn-l1", "dn-linf")
    },
}
_RESULTS: _Results = _db_results() | _dn_results()
