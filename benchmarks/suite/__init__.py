"""Small problems of many kinds, each as a DeepXDE user writes it, to compare strategies on.

The half of a problem was settled before any strategy ran on the suite. Strategies are developed
on "choosing", which has the problems that earlier trials had looked at and their siblings;
"judging" is looked at for final tables only.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

os.environ.setdefault("DDE_BACKEND", "pytorch")

from deepxde_balance.problems.references import allen_cahn, burgers, cavity

from . import (
    elliptic_forced,
    elliptic_homogeneous,
    hyperbolic,
    inverse,
    laplace_holes,
    ode,
    parabolic,
    regression,
    split_step,
    systems,
)
from .setup import Setup

__all__ = ["ENTRIES", "PROBLEMS", "Entry", "Half", "Setup", "get", "names"]

Half = Literal["choosing", "judging"]


@dataclass(frozen=True)
class Entry:
    """A problem in the suite.

    Args:
        name: Its name.
        kind: The kind of equation.
        half: Whether it is for choosing a strategy or for judging one.
        iterations: Of Adam with a learning rate of 1e-3.
        build: Makes it. Set the seed before, by ``dde.config.set_random_seed``.
        reference: What its solution is from, and a bound on its relative error.
    """

    name: str
    kind: str
    half: Half
    iterations: int
    build: Callable[[], Setup]
    reference: str = "closed form"


def get(name: str) -> Entry:
    """The problem of that name.

    Raises:
        ValueError: If there is none.
    """
    if name not in PROBLEMS:
        close = difflib.get_close_matches(name, PROBLEMS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"name={name!r} is not allowed: one of {', '.join(PROBLEMS)}.{hint}")
    return PROBLEMS[name]


def names(half: Half | None = None) -> list[str]:
    """The names of all problems, or of those of one half."""
    return [name for name, entry in PROBLEMS.items() if half in (None, entry.half)]


_MFS = f"fundamental solutions, {laplace_holes.ERROR:.0e}"
_ETD = f"Fourier and ETDRK4, {allen_cahn.ERROR:.0e}"
_COLE_HOPF = f"Cole-Hopf, {burgers.ERROR:.0e}"
_SPLIT_STEP = f"split-step Fourier, {split_step.ERROR:.0e}"
_CAVITY = f"stream function, {cavity.ERROR:.0e}"
_RUNGE_KUTTA = f"Runge-Kutta of order 8, {inverse.LORENZ_ERROR:.0e}"
_HOMOGENEOUS, _FORCED, _UNITS = "homogeneous elliptic", "forced elliptic", "other units"

_helmholtz_small = partial(elliptic_forced.helmholtz, scale=1e-6)
_anisotropic_large = partial(elliptic_forced.poisson_anisotropic, scale=1e6)
_heat_mm = partial(parabolic.heat_periodic, length=1000.0)

ENTRIES = [
    Entry(
        "laplace-holes", _HOMOGENEOUS, "choosing", 5000, elliptic_homogeneous.laplace_holes, _MFS
    ),
    Entry("laplace-disk", _HOMOGENEOUS, "judging", 5000, elliptic_homogeneous.laplace_disk),
    Entry("laplace-mixed", _HOMOGENEOUS, "judging", 5000, elliptic_homogeneous.laplace_mixed),
    Entry("helmholtz", _FORCED, "choosing", 5000, elliptic_forced.helmholtz),
    Entry("poisson-frequencies", _FORCED, "choosing", 5000, elliptic_forced.poisson_frequencies),
    Entry("poisson-l-shape", _FORCED, "choosing", 5000, elliptic_forced.poisson_l_shape),
    Entry("poisson-anisotropic", _FORCED, "judging", 5000, elliptic_forced.poisson_anisotropic),
    Entry("poisson-5d", _FORCED, "judging", 5000, elliptic_forced.poisson_5d),
    Entry("heat-periodic", "parabolic", "judging", 5000, parabolic.heat_periodic),
    Entry("heat-multiscale", "parabolic", "judging", 5000, parabolic.heat_multiscale),
    Entry("allen-cahn", "parabolic", "judging", 5000, parabolic.allen_cahn, _ETD),
    Entry("reaction-diffusion", "parabolic", "judging", 5000, parabolic.reaction_diffusion),
    Entry("wave", "hyperbolic", "choosing", 5000, hyperbolic.wave),
    Entry("advection", "hyperbolic", "judging", 5000, hyperbolic.advection),
    Entry("klein-gordon-plain", "hyperbolic", "choosing", 5000, hyperbolic.klein_gordon_plain),
    Entry("burgers", "hyperbolic", "choosing", 5000, hyperbolic.burgers, _COLE_HOPF),
    Entry("schroedinger", "system", "judging", 5000, systems.schroedinger, _SPLIT_STEP),
    Entry("kovasznay", "system", "judging", 5000, systems.kovasznay),
    Entry("cavity", "system", "choosing", 5000, systems.cavity, _CAVITY),
    Entry("beltrami", "system", "judging", 5000, systems.beltrami),
    Entry("elasticity", "system", "choosing", 5000, systems.elasticity),
    Entry("euler-beam", "ODE", "judging", 6000, ode.euler_beam),
    Entry("oscillator-system", "ODE", "choosing", 4000, ode.oscillator_system),
    Entry("harmonic", "ODE", "choosing", 5000, ode.harmonic),
    Entry("stiff-ode", "ODE", "judging", 6000, ode.stiff_ode),
    Entry("volterra", "ODE", "judging", 6000, ode.volterra),
    Entry("lorenz-inverse", "inverse", "choosing", 10000, inverse.lorenz_inverse, _RUNGE_KUTTA),
    Entry("diffusion-inverse", "inverse", "judging", 6000, inverse.diffusion_inverse),
    Entry(
        "regression-two-data-sets",
        "data only",
        "judging",
        6000,
        regression.regression_two_data_sets,
    ),
    Entry("helmholtz-residual-1e-6", _UNITS, "choosing", 5000, _helmholtz_small),
    Entry("poisson-anisotropic-residual-1e6", _UNITS, "judging", 5000, _anisotropic_large),
    Entry("heat-periodic-mm", _UNITS, "judging", 5000, _heat_mm),
]

#: By name, in the order of their kinds.
PROBLEMS: dict[str, Entry] = {entry.name: entry for entry in ENTRIES}
