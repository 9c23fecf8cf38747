"""The users' problems: their solutions meet their own equations and conditions."""

import deepxde as dde
import numpy as np
import pytest
from _support.stand_ins import at_truth, losses, model_of, outputs_of, residuals, taylor, wrong
from scipy.integrate import odeint
from suite import PROBLEMS, chebyshev, users_in_time, users_inverse, users_kinetics
from suite.users import USERS

import deepxde_balance as ddb

#: The problems whose solution is no closed form: the step of their finite differences, what may be
#: left of the residuals' losses and of the conditions', relative to those of a wrong solution, and
#: the condition that asks a slope at an end, where these differences are wrong.
NUMERIC = {
    "food-chain": (1e-4, 1e-10, 1e-20, None),
    "batch-reactor": (1e-4, 1e-12, 1e-20, None),
    "convection-diffusion": (1e-3, 1e-8, 1e-16, None),
    "fisher-in-stream": (1e-3, 1e-8, 1e-16, None),
    "adsorption": (1e-3, 1e-6, 1e-16, 0),
    "bioheat": (1e-3, 1e-8, 1e-16, 1),
}
CLOSED = [name for name in USERS if name not in NUMERIC]
WEIGHTED = [name for name, entry in USERS.items() if entry.loss_weights is not None]
SOLUTIONS = {
    "convection-diffusion": (users_in_time.stream_solution, (0.0, 1.0), 1),
    "fisher-in-stream": (users_in_time.stream_solution, (1.0, 0.5), 1),
    "bioheat": (users_in_time.bioheat_solution, (), 2),
    "adsorption": (users_in_time.adsorption_solution, (), 1),
}


def build(name):
    dde.config.set_random_seed(0)
    return at_truth(USERS[name].build())


def steep(x, at):
    """d/dx of a solution at the points of an end, from the inside, of fourth order."""
    h = 1e-4 if x[0, 0] == 0 else -1e-4
    values = [at(x + n * np.array([h, 0])) for n in range(5)]
    factors = (-25, 48, -36, 16, -3)
    return sum(factor * value for factor, value in zip(factors, values, strict=True)) / (12 * h)


@pytest.mark.parametrize("name", CLOSED)
def test_a_closed_form_meets_equation_and_conditions(float64, name):
    setup = build(name)
    found, failed = losses(setup, setup.exact), losses(setup, wrong(setup.exact))
    if name == "charge-transport":
        assert 0.5 < found[2] / users_inverse.CHARGE_NOISE**2 < 2
        found[2] = 0
    assert np.all(failed > 0)
    assert np.all(found <= 1e-20 * failed), found / failed


@pytest.mark.parametrize("name", NUMERIC)
def test_a_numeric_solution_meets_equation_and_conditions(float64, name):
    setup = build(name)
    step, limit, of_conditions, slope = NUMERIC[name]
    right = taylor(setup, step)
    found, failed = residuals(setup, right), residuals(setup, wrong(right))
    assert np.all(found < limit * failed), found / failed
    n = len(setup.data.bcs)
    found, failed = losses(setup, right)[-n:], losses(setup, wrong(right))[-n:]
    if slope is not None:
        found[slope] = 0
    assert np.all(failed > 0)
    assert np.all(found <= of_conditions * failed), found / failed


def test_the_front_in_the_particle_meets_its_equation(float64):
    """The wrong solution's residual has a pole, and is no measure: 0.1 C_xx reaches 100 here."""
    setup = build("adsorption")
    assert residuals(setup, taylor(setup, 1e-3)) < 1e-4


@pytest.mark.parametrize(("name", "end", "slope"), [("adsorption", 0, 0), ("bioheat", 1, -1)])
def test_a_numeric_solution_has_the_slope_at_its_end(name, end, slope):
    setup = USERS[name].build()
    times = np.linspace(0.1, setup.points[:, 1].max(), 50)
    x = np.stack([np.full(50, float(end)), times], axis=1)
    np.testing.assert_allclose(steep(x, setup.solution), slope, atol=1e-6)


@pytest.mark.parametrize("name", SOLUTIONS)
def test_a_numeric_solution_is_that_of_another_resolution(name):
    make, arguments, duration = SOLUTIONS[name]
    points = np.random.default_rng(0).uniform([0, 0], [1, duration], (1000, 2))
    found, other = make(*arguments)(points), make(*arguments, nodes=113)(points)
    bound = users_in_time.FRONT_ERROR if name == "adsorption" else users_in_time.ERROR
    assert np.linalg.norm(found - other) < bound * np.linalg.norm(other)


def test_collocation_finds_a_cooling_rod():
    """u_t = u_xx: exp(-t) cos(x), its mirror at x = 0 and a Robin condition at x = 1."""
    ends = (
        chebyshev.End(value=0, slope=1, given=0),
        chebyshev.End(value=np.tan(1), slope=1, given=0),
    )
    found = chebyshev.solve(lambda x, u, u_x, u_xx: u_xx, np.cos, (0, 1), 2, ends, nodes=17)
    points = np.random.default_rng(0).uniform([0, 0], [1, 2], (300, 2))
    exact = np.exp(-points[:, 1:]) * np.cos(points[:, :1])
    np.testing.assert_allclose(found(points), exact, rtol=1e-7)
    at_start = points * [1, 0]
    np.testing.assert_allclose(found(at_start), np.cos(points[:, :1]), rtol=1e-15)


@pytest.mark.parametrize(
    ("solution", "slopes", "start"),
    [
        (users_kinetics.food_solution, users_kinetics.food_slopes, (140, 40, 1, 1)),
        (users_kinetics.batch_solution, users_kinetics.batch_slopes, (1, 3.5)),
    ],
    ids=["food-chain", "batch-reactor"],
)
def test_an_integrated_solution_is_that_of_another_method(solution, slopes, start):
    times = np.linspace(0, 10, 401)
    other = odeint(lambda y, _: slopes(y), start, times, rtol=1e-13, atol=1e-13, mxstep=100000)
    found = solution()(times[:, None])
    assert np.linalg.norm(found - other) < users_kinetics.ERROR * np.linalg.norm(other)


@pytest.mark.parametrize("name", USERS)
def test_the_error_is_0_for_the_solution_and_1_for_nothing(float64, name):
    setup = build(name)
    function = setup.exact or taylor(setup, 1e-3)

    def nothing(x):
        return x.new_zeros((len(x), outputs_of(setup)))

    assert setup.error(model_of(setup, function)) < 1e-12
    assert setup.error(model_of(setup, nothing)) == pytest.approx(1)


def test_of_two_regions_each_output_counts_in_its_half(float64):
    setup = build("reactor-two-regions")

    def other_halves_wrong(x):
        y = setup.exact(x).clone()
        y[x[:, 0] >= 0.5, 0] += 1
        y[x[:, 0] < 0.5, 1] += 1
        return y

    assert setup.error(model_of(setup, other_halves_wrong)) < 1e-12


@pytest.mark.parametrize("name", USERS)
def test_a_build_with_a_seed_gives_the_same_points(name):
    assert np.array_equal(build(name).data.train_x, build(name).data.train_x)


@pytest.mark.parametrize("name", USERS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # at random weights, a gradient can be 0
def test_an_iteration_with_auto_gives_finite_losses(name):
    entry = USERS[name]
    dde.config.set_random_seed(0)
    setup = entry.build()
    model = ddb.Model(setup.data, setup.net)
    model.compile("adam", lr=entry.lr, loss_weights="auto", verbose=0, **setup.compile)
    history, _ = model.train(iterations=1, verbose=0)
    assert np.all(np.isfinite(history.loss_train))
    assert np.all(np.isfinite(list(model.weights.values())))


@pytest.mark.parametrize("name", WEIGHTED)
def test_the_users_weights_are_as_many_as_the_losses_and_not_all_the_same(name):
    weights, setup = USERS[name].loss_weights, build(name)
    assert weights is not None
    assert len(weights) == len(losses(setup, setup.net))
    assert len(set(weights)) > 1 and min(weights) > 0


def test_names_are_unique_and_most_problems_have_weights_of_their_users():
    assert len(USERS) == 20 and len(WEIGHTED) >= 14
    assert all(entry.name == name for name, entry in USERS.items())
    assert not set(USERS) & set(PROBLEMS)
