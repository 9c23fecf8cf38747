"""DeepXDE's loop of L-BFGS."""

import pytest
from _support.resumed import (
    compiled,
)

pytestmark = pytest.mark.usefixtures("large_problem")


@pytest.fixture
def lbfgs_of_four_steps(optimizer_options):
    optimizer_options.lbfgs.update(maxiter=20, iter_per_step=5)


def test_lbfgs_trained_twice_counts_each_iteration_once(lbfgs_of_four_steps):
    model = compiled("equal")
    model.compile("L-BFGS", loss_weights="equal", verbose=0)
    model.train(verbose=0)
    model.train(verbose=0)
    assert model.train_state.step == 40
