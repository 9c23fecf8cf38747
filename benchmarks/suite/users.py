"""Problems as users of DeepXDE wrote them, to compare strategies on, with weights set by hand.

Equation, geometry, constants, network, learning rate, iterations and loss weights are those of
scripts found in public repositories; the code is ours. They were taken for two reasons only: a
reference solution is known, and they differ from each other. No strategy ran on them before. What
is shorter than in the script is said at each problem; an L-BFGS that follows Adam is left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

os.environ.setdefault("DDE_BACKEND", "pytorch")

from . import (
    users_in_time,
    users_inverse,
    users_kinetics,
    users_mechanics,
    users_steady,
)
from .setup import Setup

__all__ = ["USERS", "UserEntry"]


@dataclass(frozen=True)
class UserEntry:
    """A user's problem.

    Args:
        name: Its name.
        kind: The kind of equation.
        iterations: Of Adam.
        lr: Adam's learning rate.
        loss_weights: The user's own, in the order of DeepXDE's losses. None stands for none.
        build: Makes it. Set the seed before, by ``dde.config.set_random_seed``.
        reference: What its solution is from, and a bound on its relative error.
    """

    name: str
    kind: str
    iterations: int
    lr: float
    loss_weights: Sequence[float] | None
    build: Callable[[], Setup]
    reference: str = "closed form"


_INTEGRATED = f"Runge-Kutta of order 8, {users_kinetics.ERROR:.0e}"
_COLLOCATION = f"Chebyshev collocation, {users_in_time.ERROR:.0e}"
_FRONT = f"Chebyshev collocation, {users_in_time.FRONT_ERROR:.0e}"

_ENTRIES = [
    UserEntry("beam-timoshenko", "ODE", 6000, 1e-3, None, users_mechanics.beam_timoshenko),
    UserEntry("beam-clamped", "ODE", 6000, 1e-3, None, users_mechanics.beam_clamped),
    UserEntry(
        "oscillator-underdamped",
        "ODE",
        10000,
        1e-3,
        (1e-4, 1, 0.1),
        users_mechanics.oscillator_underdamped,
    ),
    UserEntry("oscillator-damped", "ODE", 20000, 1e-2, None, users_mechanics.oscillator_damped),
    UserEntry("critical-slab", "ODE", 3500, 1e-3, (1, 100, 100), users_mechanics.critical_slab),
    UserEntry(
        "food-chain",
        "ODE",
        2000,
        1e-3,
        (0.9,) * 4 + (2,) * 4,
        users_kinetics.food_chain,
        _INTEGRATED,
    ),
    UserEntry(
        "batch-reactor",
        "ODE",
        10000,
        1e-3,
        (1, 0.01, 1, 1),
        users_kinetics.batch_reactor,
        _INTEGRATED,
    ),
    UserEntry(
        "plate-temperature",
        "steady",
        8000,
        1e-3,
        (1, 10, 10, 10, 10),
        users_steady.plate_temperature,
    ),
    UserEntry("poisson-cubic", "steady", 20000, 1e-3, (1, 2), users_steady.poisson_cubic),
    UserEntry("plate-bending", "steady", 6000, 1e-3, None, users_steady.plate_bending),
    UserEntry(
        "sine-gordon-steady", "steady", 4000, 1e-3, (1, 100), users_steady.sine_gordon_steady
    ),
    UserEntry("consolidation", "in time", 10000, 1e-3, (1, 100, 100), users_in_time.consolidation),
    UserEntry("heat-plate", "in time", 5000, 1e-3, (10, 1, 1, 1, 1, 10), users_in_time.heat_plate),
    UserEntry(
        "convection-diffusion",
        "in time",
        8000,
        1e-3,
        (1, 100, 100),
        users_in_time.convection_diffusion,
        _COLLOCATION,
    ),
    UserEntry(
        "fisher-in-stream",
        "in time",
        8000,
        5e-4,
        (100, 10, 10),
        users_in_time.fisher_in_stream,
        _COLLOCATION,
    ),
    UserEntry(
        "adsorption", "in time", 10000, 1e-3, (10, 1, 1, 1), users_in_time.adsorption, _FRONT
    ),
    UserEntry("bioheat", "in time", 20000, 1e-3, None, users_in_time.bioheat, _COLLOCATION),
    UserEntry(
        "reactor-two-regions",
        "inverse",
        20000,
        1e-4,
        (100, 0.1, 10, 10, 10, 100, 100),
        users_inverse.reactor_two_regions,
    ),
    UserEntry(
        "charge-transport", "inverse", 5000, 1e-3, (1, 1, 1000), users_inverse.charge_transport
    ),
    UserEntry("room-sound", "inverse", 5000, 1e-3, (1, 1, 100, 100), users_inverse.room_sound),
]

#: By name, in the order of their kinds.
USERS: dict[str, UserEntry] = {entry.name: entry for entry in _ENTRIES}
