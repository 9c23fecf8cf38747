"""Checkpoints and records that are damaged, at any byte or in any entry.

A restore then fails with a CheckpointError and leaves the model as it was, or the damage did not
matter. No file runs code.
"""

import functools
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _support import records, resumed, scripts
from _support.resumed import assert_same, everything
from _support.wrong_input import cases, outcome
from hypothesis import given
from hypothesis import strategies as st

import deepxde_balance as ddb
from deepxde_balance.problems.references import cache
from deepxde_balance.results.record import Record, RecordError

STRATEGIES = ("db-kurtosis", "sa", "auto")


def compiled(strategy):
    return resumed.compiled(
        strategy, scripts.klein_gordon(num_domain=8), scripts.network((2, 4, 1))
    )


@functools.cache
def checkpoint(strategy):
    """The bytes of a checkpoint, and the state that was saved."""
    model = compiled(strategy)
    model.train(iterations=3, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        content = Path(model.save(f"{folder}/run")).read_bytes()
    state = everything(model)
    del state["random"]  # drawn from by asking
    return content, state


def state_of(model):
    state = everything(model)
    del state["random"]
    return state


#: Where a file is damaged: its beginning, anywhere, its end.
places = st.one_of(st.integers(0, 90), st.integers(0, 10**6), st.integers(-200, -1))


@st.composite
def damages(draw):
    """A function from a file's bytes to what is found in their place, and its name."""
    kind = draw(st.sampled_from(["flip", "cut", "zeros", "insert", "twice", "empty", "text"]))
    place, length = draw(places), draw(st.integers(1, 300))
    bit = draw(st.integers(0, 7))

    def damage(content):
        at = place % max(len(content), 1)
        if kind == "flip":
            return content[:at] + bytes([content[at] ^ (1 << bit)]) + content[at + 1 :]
        if kind == "cut":
            return content[:at]
        if kind == "zeros":
            return content[:at] + bytes(min(length, len(content) - at)) + content[at + length :]
        if kind == "insert":
            return content[:at] + os.urandom(length) + content[at:]
        if kind == "twice":
            return content + content
        return b"" if kind == "empty" else b"not a checkpoint" * length

    return damage


@functools.cache
def model_for(strategy):
    """One model for all cases of a strategy: each must leave it as it was."""
    return compiled(strategy)


def assert_refused_or_restored(model, path, expected):
    before = state_of(model)
    if outcome(restored, model, path) is None:
        assert_same(state_of(model), before)
    else:
        assert_same(state_of(model), expected)


def restored(model, path):
    model.restore(str(path))
    return model


@given(st.sampled_from(STRATEGIES), damages())
@cases(0.4)
def test_a_checkpoint_damaged_at_any_byte(strategy, damage):
    content, state = checkpoint(strategy)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run-3.pt"
        path.write_bytes(damage(content))
        assert_refused_or_restored(model_for(strategy), path, state)


#: What is found in the place of an entry.
replacements = st.sampled_from(
    [None, 0, -1, 1.5, float("nan"), "x", [], {}, (), True, [1, 2], {"a": 1}, torch.zeros(0),
     torch.ones(3, 3), torch.tensor(float("nan")), torch.zeros(2, dtype=torch.int8), 10**30]
)  # fmt: skip


def entries(value, path=()):
    """The paths of all entries in mappings and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, (dict, list, tuple)):
            yield from entries(item, (*path, key))


def replaced(value, path, new, delete):
    """A copy with another value at a path, or without it."""
    if not path:
        return new
    if isinstance(value, dict):
        copy: Any = dict(value)
    else:
        copy = list(value)
    if len(path) == 1 and delete:
        del copy[path[0]]
    else:
        copy[path[0]] = replaced(copy[path[0]], path[1:], new, delete)
    return tuple(copy) if isinstance(value, tuple) else copy


@given(st.sampled_from(STRATEGIES), st.randoms(use_true_random=False), replacements, st.booleans())
@cases(0.4)
def test_a_checkpoint_with_an_entry_that_is_wrong(strategy, chance, new, delete):
    """Written anew, so that all checksums are right: restored, or refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run-3.pt"
        path.write_bytes(checkpoint(strategy)[0])
        content = torch.load(path, weights_only=True)
        where = chance.choice([*entries(content)])
        torch.save(replaced(content, where, new, delete), path)
        model = compiled(strategy)
        before = state_of(model)
        if outcome(restored, model, path) is None:
            assert_same(state_of(model), before)


def test_a_tensor_in_the_place_of_a_number(tmp_path):
    """PyTorch can't say whether several numbers are one."""
    path = tmp_path / "run-3.pt"
    path.write_bytes(checkpoint("sa")[0])
    content = torch.load(path, weights_only=True)
    content["deepxde_balance"]["weighting"]["hyperparameters"]["lr"] = torch.zeros(2)
    torch.save(content, path)
    with pytest.raises(ddb.CheckpointError, match="damaged or no checkpoint"):
        model_for("sa").restore(str(path))


@pytest.mark.parametrize("make", [os.mkdir, lambda path: None, lambda path: path.write_bytes(b"")])
def test_no_file_or_an_empty_one_or_a_folder(make, tmp_path):
    path = tmp_path / "run-3.pt"
    make(path)
    model = model_for("sa")
    before = state_of(model)
    error = ddb.CheckpointError if path.exists() else FileNotFoundError
    with pytest.raises(error, match=r"run-3\.pt"):
        model.restore(str(path))
    assert_same(state_of(model), before)


class Touches:
    """Unpickled, it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("network_only", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_checkpoint_runs_no_code(zipped, network_only, tmp_path):
    """The control, `torch.load` without `weights_only`, does."""
    mark, path = tmp_path / "made", tmp_path / "run-3.pt"
    path.write_bytes(checkpoint("sa")[0])
    content = torch.load(path, weights_only=True)
    content["deepxde_balance"]["lbfgs_start"] = Touches(mark)
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ddb.CheckpointError, match="damaged or no checkpoint"):
        model_for("sa").restore(str(path), network_only=network_only)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()


@functools.cache
def run():
    """The bytes of a record's two files, by their ending."""
    with tempfile.TemporaryDirectory() as folder:
        path = records.write_run(Path(folder))
        return {ending: path.with_suffix(ending).read_bytes() for ending in (".json", ".npz")}


def written(folder, **other):
    for ending, content in (run() | other).items():
        (Path(folder) / f"seed0{ending}").write_bytes(content)
    return Path(folder) / "seed0.json"


def use(path):
    """Reads all that there is in a record."""
    record = Record.load(path)
    record.group_losses(), record.over_last_fifth(), record.at_best_step(), record.diverged
    return record.fields.error.shape, record.fields.axes


@given(st.sampled_from([".json", ".npz"]), damages())
@cases(0.5)
def test_a_record_damaged_at_any_byte(ending, damage):
    with tempfile.TemporaryDirectory() as folder:
        outcome(use, written(folder, **{ending: damage(run()[ending])}))


json_values = st.one_of(
    st.sampled_from([None, 0, -1, 1.5, 10**400, "x", "", [], {}, True, [1, 2], {"a": 1}, [[1]]]),
    st.lists(st.one_of(st.none(), st.floats(), st.text(max_size=2)), max_size=3),
)


@given(st.randoms(use_true_random=False), json_values, st.booleans())
@cases(0.5)
def test_a_record_with_an_entry_that_is_wrong(chance, new, delete):
    content = json.loads(run()[".json"])
    where = chance.choice([*entries(content)])
    changed = json.dumps(replaced(content, where, new, delete)).encode()
    with tempfile.TemporaryDirectory() as folder:
        outcome(use, written(folder, **{".json": changed}))


def compressed_by(method, archive):
    """A zip file whose entries name another method of compression, from a bit that was flipped."""
    at = archive.index(b"PK\1\2") + 10
    return archive[:at] + method.to_bytes(2, "little") + archive[at + 2 :]


@pytest.mark.parametrize("method", [12, 99])  # OSError and NotImplementedError, from inside
def test_arrays_with_another_compression(method, tmp_path):
    path = written(tmp_path, **{".npz": compressed_by(method, run()[".npz"])})
    with pytest.raises(RecordError, match=r"seed0\.npz: can't be read"):
        use(path)


@pytest.mark.parametrize(
    "entry, message",
    [
        ({"seconds": 10**400}, r"seed0\.json: a value is not what it should be: int too large"),
        ({"errors": {}}, r"seed0\.json: lacks L2RE"),
        ({"groups": 1}, r"seed0\.json: a value is not what it should be"),
    ],
)
def test_a_record_that_says_what_is_wrong(entry, message, tmp_path):
    content = json.dumps(json.loads(run()[".json"]) | entry).encode()
    with pytest.raises(RecordError, match=message):
        use(written(tmp_path, **{".json": content}))


def test_a_reference_solution_with_another_compression(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPXDE_BALANCE_CACHE", str(tmp_path))
    compute = lambda: {"u": np.arange(3.0)}  # noqa: E731
    cache.cached("wave", compute)
    path = tmp_path / "wave.npz"
    path.write_bytes(compressed_by(99, path.read_bytes()))
    with pytest.warns(UserWarning, match=r"wave\.npz is damaged .* computed anew"):
        assert cache.cached("wave", compute)["u"].tolist() == [0, 1, 2]


def test_a_record_runs_no_code(tmp_path):
    """An array of objects is a pickle, which NumPy is not allowed to read."""
    mark, path = tmp_path / "made", written(tmp_path)
    with np.load(path.with_suffix(".npz")) as arrays:
        content = dict(arrays)
    objects = np.array([Touches(mark)], dtype=object)
    np.savez(path.with_suffix(".npz"), **content | {"solution": objects})
    with pytest.raises(ValueError, match=r"seed0\.npz: can't be read: Object arrays"):
        use(path)
    assert not mark.exists()


def test_the_package_unpickles_nothing():
    """Of the calls that could run code in a file, none is without its safety."""
    package = Path(ddb.__file__).parent
    calls = {
        r"torch\.load\(": "weights_only=True",
        r"np\.load\(": "allow_pickle=False",
        r"pickle\.loads?\(|Unpickler|joblib\.load|marshal|shelve|yaml|\beval\(|\bexec\(": None,
    }
    found = 0
    for path in package.rglob("*.py"):
        for line in path.read_text().splitlines():
            for call, safety in calls.items():
                if re.search(call, line):
                    found += 1
                    assert safety is not None and safety in line, f"{path}: {line}"
    assert found >= 4
