"""What a data object draws at random."""

import pytest
from _support.operators import operator

pytestmark = pytest.mark.usefixtures("large_problem")


def test_compile_draws_no_mini_batch():
    model = operator(1, cartesian=True, batch_size=2)
    drawn = model.data.train_sampler._index_in_epoch
    model.compile("adam", lr=1e-3, loss_weights="dn", verbose=0)
    assert model.data.train_sampler._index_in_epoch == drawn
