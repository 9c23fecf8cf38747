"""Compares the reference solutions with finer ones, and the cavity with published values.

    python benchmarks/references.py

Prints Markdown. Ghia, Ghia & Shin (1982) give five digits, from a 129 x 129 grid.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial

os.environ.setdefault("DDE_BACKEND", "pytorch")

import numpy as np

from deepxde_balance.problems import burgers as burgers_problem
from deepxde_balance.problems.references import allen_cahn, burgers, cavity
from deepxde_balance.problems.sampling import grid

# Ghia, Ghia & Shin (1982), tables I and II, Re = 100: u at (0.5, y) by y, and v at (x, 0.5) by x,
# without the values on the walls.
GHIA_U = {
    0.9766: 0.84123,
    0.9688: 0.78871,
    0.9609: 0.73722,
    0.9531: 0.68717,
    0.8516: 0.23151,
    0.7344: 0.00332,
    0.6172: -0.13641,
    0.5000: -0.20581,
    0.4531: -0.21090,
    0.2813: -0.15662,
    0.1719: -0.10150,
    0.1016: -0.06434,
    0.0703: -0.04775,
    0.0625: -0.04192,
    0.0547: -0.03717,
}
GHIA_V = {
    0.9688: -0.05906,
    0.9609: -0.07391,
    0.9531: -0.08864,
    0.9453: -0.10313,
    0.9063: -0.16914,
    0.8594: -0.22445,
    0.8047: -0.24533,
    0.5000: 0.05454,
    0.2344: 0.17527,
    0.2266: 0.17507,
    0.1563: 0.16077,
    0.0938: 0.12317,
    0.0781: 0.10890,
    0.0703: 0.10091,
    0.0625: 0.09233,
}

# Botella & Peyret (1998), with a spectral method, Re = 100: extrema of u on x = 0.5 and of v on
# y = 0.5.
BOTELLA = {"least u": -0.2140424, "largest v": 0.1795728, "least v": -0.2538030}

STRIP = grid((-1, 0), (1, 1), 201)


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    rows = [*burgers_rows(), *allen_cahn_rows(), *cavity_rows()]
    print("| reference | against | relative L2 | largest | stated bound | seconds |")
    print("|---|---|---|---|---|---|")
    for name, other, found, finer, bound, seconds in rows:
        l2 = np.linalg.norm(found - finer) / np.linalg.norm(finer)
        largest = np.abs(found - finer).max()
        print(f"| {name} | {other} | {l2:.1e} | {largest:.1e} | {bound:.0e} | {seconds:.1f} |")
    print("\n| Ghia, Ghia & Shin at Re = 100 | points | mean difference | largest |")
    print("|---|---|---|---|")
    for name, published, component in (("u on x = 0.5", GHIA_U, 0), ("v on y = 0.5", GHIA_V, 1)):
        along = np.array(list(published))
        half = np.full_like(along, 0.5)
        points = np.stack([half, along] if component == 0 else [along, half], axis=1)
        difference = np.abs(cavity.velocity(points)[:, component] - list(published.values()))
        print(f"| {name} | {len(along)} | {difference.mean():.5f} | {difference.max():.5f} |")
    print("\n| Botella & Peyret at Re = 100 | published | found |")
    print("|---|---|---|")
    line, half = np.linspace(0, 1, 10001), np.full(10001, 0.5)
    u = cavity.velocity(np.stack([half, line], axis=1))[:, 0]
    v = cavity.velocity(np.stack([line, half], axis=1))[:, 1]
    for (name, extremum), value in zip(BOTELLA.items(), (u.min(), v.max(), v.min()), strict=True):
        print(f"| {name} | {extremum:.7f} | {value:.7f} |")


#: Name, name of the finer solution, values, finer values, stated bound, seconds.
Row = tuple[str, str, np.ndarray, np.ndarray, float, float]


def burgers_rows() -> list[Row]:
    found, seconds = timed(lambda: burgers.cole_hopf(STRIP, burgers_problem.VISCOSITY))
    finer = burgers.cole_hopf(STRIP, burgers_problem.VISCOSITY, nodes=300)
    return [("Burgers", "300 nodes for 200", found, finer, burgers.ERROR, seconds)]


def allen_cahn_rows() -> list[Row]:
    coarse, seconds = timed(lambda: allen_cahn.solve(2048, 2000))
    finer = allen_cahn.solve(4096, 4000)[::2]
    early = np.random.default_rng(0).uniform((-1, 0), (1, 1 / 200), (40401, 2))
    late = np.random.default_rng(0).uniform((-1, 0), (1, 1), (40401, 2))
    dense = allen_cahn.interpolate(allen_cahn.solve(4096, 4000, snapshots=2000))
    bound = allen_cahn.ERROR
    rows = [("Allen-Cahn, at the nodes", "2 x modes and steps", coarse, finer, bound, seconds)]
    for where, points in (("anywhere", late), ("anywhere in t < 1/200", early)):
        x, t = np.abs(points).T
        expected = dense.ev(x, t) + allen_cahn.kink(x, t)
        found = allen_cahn.solution(points)[:, 0]
        against = "the same, 10 x snapshots"
        rows.append((f"Allen-Cahn, {where}", against, found, expected, bound, 0.0))
    return rows


def cavity_rows() -> list[Row]:
    points = grid((0, 0), (1, 1), 100)

    def speed(velocities: np.ndarray) -> np.ndarray:
        u, v = cavity.interpolate(velocities)
        return np.hypot(u.ev(*points.T), v.ev(*points.T))

    solutions = {cells: timed(partial(cavity.extrapolated, cells)) for cells in (48, 96, 128)}
    finest = speed(solutions[128][0])
    return [
        (
            f"cavity, {n} and {2 * n} cells",
            "128 and 256 cells",
            speed(solutions[n][0]),
            finest,
            cavity.ERROR if n == 96 else np.nan,
            solutions[n][1],
        )
        for n in (48, 96)
    ]


def timed(compute: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    """The result of `compute`, and the seconds that it took."""
    start = time.perf_counter()
    return compute(), time.perf_counter() - start


if __name__ == "__main__":
    main()
