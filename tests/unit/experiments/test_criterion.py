"""The criterion against numbers worked out by hand."""

import numpy as np

from deepxde_balance.experiments.criterion import term_scales, worst_term


def test_the_worst_term_counts_in_units_of_its_first_loss():
    losses = {"pde": np.array([4.0, 2.0, 0.4]), "bc0": np.array([0.01, 0.02, 0.0001])}
    assert term_scales(losses) == {"pde": 4.0, "bc0": 0.01}
    np.testing.assert_allclose(worst_term(losses), [1, 2, 0.1])


def test_it_does_not_depend_on_the_units_of_a_term():
    rng = np.random.default_rng(0)
    losses = {name: rng.uniform(1, 2, 5) for name in ("pde", "bc0", "ic1")}
    other = {**losses, "bc0": 1e6 * losses["bc0"]}
    np.testing.assert_allclose(worst_term(losses), worst_term(other))


def test_a_term_that_is_met_from_the_start_has_the_largest_scale():
    losses = {"pde": np.array([4.0, 2.0]), "ic": np.array([0.0, 3.0]), "bc": np.array([1.0, 0.1])}
    np.testing.assert_allclose(worst_term(losses), [1, 3 / 4])
    np.testing.assert_allclose(worst_term({"pde": np.array([0.0, 3.0])}), [0, 3])


def test_a_loss_that_is_no_number_is_not_overlooked():
    losses = {"pde": np.array([1.0, np.nan]), "bc": np.array([1.0, 5.0])}
    assert np.isnan(worst_term(losses)[1])
