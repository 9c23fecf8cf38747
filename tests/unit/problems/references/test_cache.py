"""References are computed once; a damaged file or a folder without access is no failure."""

import threading
import warnings

import numpy as np
import pytest

from deepxde_balance.problems.references.cache import cached, folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPXDE_BALANCE_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


class Solver:
    calls = 0

    def __call__(self):
        self.calls += 1
        return {"u": np.arange(6.0).reshape(2, 3), "t": np.array([0.5])}


def same(arrays):
    return arrays.keys() == {"u", "t"} and np.array_equal(arrays["u"], [[0, 1, 2], [3, 4, 5]])


def test_computed_once(cache):
    solver = Solver()
    assert same(cached("a", solver)) and same(cached("a", solver))
    assert solver.calls == 1
    assert [path.name for path in cache.iterdir()] == ["a.npz"]
    cached("b", solver)
    assert solver.calls == 2


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


def no_archive(path):
    path.write_text("something else")


def without_checksum(path):
    np.savez(path, u=np.zeros(3))


def with_other_values(path):
    """A whole archive, but one value is not that of its checksum."""
    with np.load(path) as file:
        arrays = dict(file)
    arrays["u"][0, 0] = 7
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    "damage", [truncated, empty, no_archive, without_checksum, with_other_values]
)
def test_a_damaged_file_is_computed_anew(cache, damage):
    solver = Solver()
    cached("a", solver)
    damage(cache / "a.npz")
    with pytest.warns(UserWarning, match=r"a\.npz is damaged"):
        assert same(cached("a", solver))
    assert same(cached("a", solver)) and solver.calls == 2


def test_a_folder_without_access_is_no_failure(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEEPXDE_BALANCE_CACHE", str(tmp_path / "file" / "kept"))
    with pytest.warns(UserWarning, match="can't be kept"):
        assert same(cached("a", Solver()))


def test_writers_and_readers_at_once(cache):
    """No reader ever sees half a file."""
    found = []

    def work():
        for _ in range(30):
            found.append(same(cached("a", Solver())))
            (cache / "a.npz").unlink(missing_ok=True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 120 and all(found)
    assert not said


def test_the_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("DEEPXDE_BALANCE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert folder() == tmp_path / "deepxde-balance"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder() == tmp_path / ".cache" / "deepxde-balance"
