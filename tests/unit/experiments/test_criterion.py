"""The criterion against numbers worked out by hand."""

import numpy as np

from deepxde_balance.experiments.criterion import term_scales, worst_term


def test_the_worst_term_counts_in_units_of_its_largest_loss_so_far():
    losses = {"pde": np.array([4.0, 8.0, 2.0, 0.4]), "bc0": np.array([0.01, 0.001, 0.02, 0.0001])}
    scales = term_scales(losses)
    np.testing.assert_array_equal(scales["pde"], [4, 8, 8, 8])
    np.testing.assert_array_equal(scales["bc0"], [0.01, 0.01, 0.02, 0.02])
    # pde: 1, 1, 1/4, 0.05; bc0: 1, 0.1, 1, 0.005.
    np.testing.assert_allclose(worst_term(losses), [1, 1, 1, 0.05])


def test_what_comes_later_does_not_change_what_was():
    losses = {"pde": np.array([1.0, 0.2, 50.0, 1.0]), "bc": np.array([1.0, 0.3, 0.1, 0.01])}
    np.testing.assert_allclose(worst_term(losses), [1, 0.3, 1, 0.02])
    before = {name: values[:2] for name, values in losses.items()}
    np.testing.assert_allclose(worst_term(before), [1, 0.3])


def test_it_does_not_depend_on_the_units_of_a_term():
    rng = np.random.default_rng(0)
    losses = {name: rng.uniform(1, 2, 5) for name in ("pde", "bc0", "ic1")}
    other = {**losses, "bc0": 1e6 * losses["bc0"]}
    np.testing.assert_allclose(worst_term(losses), worst_term(other))


def test_a_term_that_is_met_from_the_start_has_at_least_the_largest_first_scale():
    losses = {
        "pde": np.array([4.0, 2.0, 0.4]),
        "ic": np.array([0.0, 3.0, 1e-9]),
        "bc": np.array([1.0, 0.1, 0.1]),
    }
    np.testing.assert_allclose(worst_term(losses), [1, 3 / 4, 0.1])
    losses["ic"][1] = 12.0  # more than that of the other terms
    np.testing.assert_allclose(worst_term(losses), [1, 1, 0.1])
    np.testing.assert_allclose(worst_term({"pde": np.array([0.0, 0.3, 3.0])}), [0, 0.3, 1])


def test_a_loss_that_is_not_finite_is_not_overlooked_and_is_no_scale():
    losses = {"pde": np.array([1.0, np.nan, np.inf, 0.5]), "bc": np.array([1.0, 0.5, 5.0, 0.5])}
    found = worst_term(losses)
    assert np.isnan(found[1]) and np.isinf(found[2])
    np.testing.assert_allclose(found[[0, 3]], [1, 0.5])
