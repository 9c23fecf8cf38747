import time

import deepxde as dde
import pytest
import torch
from _support import scripts
from _support.processes import on_ranks

import deepxde_balance as ddb


def test_the_checkpoint_with_the_most_iterations_is_the_last(tmp_path):
    for name in ("a-9.pt", "a-10.pt", "a-best.pt", "ab-11.pt", "a-12.txt"):
        (tmp_path / name).touch()
    assert ddb.last_checkpoint(tmp_path / "a") == str(tmp_path / "a-10.pt")
    assert ddb.last_checkpoint(tmp_path / "b") is None


@pytest.mark.parametrize("prefix", ["a", "a-lbfgs", "a[1]", "a*"])
def test_checkpoints_of_other_prefixes_are_not_those_of_this_one(prefix, tmp_path):
    for name in ("a-9.pt", "a-lbfgs-20.pt", "a-1-30.pt", "a[1]-40.pt", "a*-50.pt", "a1-60.pt"):
        (tmp_path / name).touch()
    last = {"a": "a-9.pt", "a-lbfgs": "a-lbfgs-20.pt", "a[1]": "a[1]-40.pt", "a*": "a*-50.pt"}
    assert ddb.last_checkpoint(tmp_path / prefix) == str(tmp_path / last[prefix])


def test_ranks_that_see_other_checkpoints_are_told(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "a-3.pt").touch()

    def look(ranks):
        return ddb.last_checkpoint(tmp_path / str(ranks.rank) / "a")

    for error in on_ranks(2, tmp_path, look):
        assert isinstance(error, ddb.RanksError)
        assert "the last checkpoint: None on rank 0" in str(error)
        assert "folder that all machines share" in str(error)


def test_ranks_wait_for_a_checkpoint_that_is_being_written(tmp_path):
    def look(ranks):
        if ranks.is_first:
            time.sleep(0.5)
            (tmp_path / "a-3.pt").touch()
        return ddb.last_checkpoint(tmp_path / "a")

    assert on_ranks(2, tmp_path, look) == [str(tmp_path / "a-3.pt")] * 2


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(
    "before, after",
    [(2, 1), *(pytest.param(*sizes, marks=pytest.mark.slow) for sizes in ((1, 2), (3, 2)))],
)
def test_a_run_goes_on_with_another_number_of_ranks(before, after, tmp_path):
    def model():
        made = ddb.Model(scripts.klein_gordon(), scripts.network())
        made.compile("adam", lr=1e-2, loss_weights="gw-std", point_weights="brdr", verbose=0)
        return made

    def state_of(made):
        return [scripts.parameters_of(made), *map(torch.from_numpy, made.point_weights.values())]

    def begin(ranks=None):
        saving = dde.callbacks.ModelCheckpoint(str(tmp_path / "m"), period=6)
        model().train(iterations=9, callbacks=[saving], verbose=0)

    def go_on(ranks=None):
        restored = model()
        restored.restore(ddb.last_checkpoint(tmp_path / "m"))
        assert restored.train_state.step == 6
        restored.train(iterations=12 - restored.train_state.step, verbose=0)
        return state_of(restored)

    unbroken = model()
    unbroken.train(iterations=12, verbose=0)
    for number, work in ((before, begin), (after, go_on)):
        folder = tmp_path / work.__name__
        folder.mkdir()
        found = [work()] if number == 1 else on_ranks(number, folder, work)
    for state in found:
        torch.testing.assert_close(state, state_of(unbroken), rtol=1e-10, atol=0)
