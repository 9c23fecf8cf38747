import deepxde as dde
import numpy as np
import pytest
from _support import scripts

from deepxde_balance._deepxde.batch import Batch
from deepxde_balance._deepxde.share import Share, part_of


@pytest.mark.parametrize("number, size", [(10, 1), (10, 3), (7, 7), (1000, 16)])
def test_each_error_is_of_one_rank_and_the_ranks_have_equally_many(number, size):
    parts = [part_of(number, rank, size) for rank in range(size)]
    errors = [i for part in parts for i in range(part.beg, part.end)]
    assert errors == list(range(number))
    assert all(
        part.counts and part.end - part.beg in (number // size, -(-number // size))
        for part in parts
    )
    assert sum(part.factor for part in parts) == pytest.approx(1)


def test_fewer_errors_than_ranks_are_computed_by_all_and_count_once():
    parts = [part_of(2, rank, 3) for rank in range(3)]
    assert [(part.beg, part.end, part.factor) for part in parts] == [
        (0, 2, 1),
        (0, 2, 0),
        (0, 2, 0),
    ]


def periodic():
    strip = dde.geometry.GeometryXTime(dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1))
    bc = dde.icbc.PeriodicBC(strip, 0, lambda x, on: on and np.isclose(x[0], -1))
    return dde.data.TimePDE(strip, scripts.klein_gordon_residual, [bc], 10, 14)


def test_the_problem_has_the_points_of_the_share_within_the_exchange():
    data = periodic()
    whole, numbers = data.train_x, data.num_bcs
    pairs = numbers[0] // 2
    share = Share(data, Batch(*data.train_next_batch()), rank=1, size=2)
    with share.exchanged():
        assert data.num_bcs == [2 * (pairs - pairs // 2)]
        left, right = np.split(data.train_x[: data.num_bcs[0]], 2)
        np.testing.assert_array_equal(left, whole[pairs // 2 : pairs])
        np.testing.assert_array_equal(right, whole[pairs + pairs // 2 : 2 * pairs])
        rest = whole[numbers[0] :]
        np.testing.assert_array_equal(data.train_x[data.num_bcs[0] :], rest[len(rest) // 2 :])
        with share.exchanged():
            assert data.train_x is whole and data.num_bcs is numbers
    assert data.train_x is whole and data.num_bcs is numbers


def test_a_share_is_no_longer_that_of_replaced_targets():
    points = np.random.default_rng(0).random((6, 2))
    bc = dde.icbc.PointSetBC(points, points[:, :1])
    data = scripts.laplace(bcs=[bc])
    batch = Batch(*data.train_next_batch())
    share = Share(data, batch, rank=0, size=2)
    assert share.is_of(batch)
    with share.exchanged():
        np.testing.assert_array_equal(bc.values.cpu().numpy(), np.float32(points[:3, :1]))
    bc.values = bc.values + 1
    assert not share.is_of(batch)


def test_a_condition_without_points_is_named():
    data = scripts.klein_gordon()
    data.num_bcs = [12, 0, *data.num_bcs[2:]]
    with pytest.raises(ValueError, match="Condition 1, IC, has no points"):
        Share(data, Batch(*data.train_next_batch()), 1, 2)
