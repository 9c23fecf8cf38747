"""What the strategies are for: trainings of a minute and more."""

import pytest

import deepxde_balance as ddb


@pytest.mark.slow
def test_db_kurtosis_is_three_times_better_than_equal_on_klein_gordon():
    problem = ddb.problems.get("klein-gordon", points=0.1, iterations=2000)
    errors = {}
    for weights in ("equal", "db-kurtosis"):
        model = problem.model(weights, seed=0, verbose=0)
        model.train(iterations=problem.iterations, verbose=0)
        errors[weights] = problem.errors(model)["L2RE"]
    assert errors["db-kurtosis"] < errors["equal"] / 3
