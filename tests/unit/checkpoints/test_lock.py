"""Locks on the names of checkpoints, and file systems that have none."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from deepxde_balance.checkpoints.lock import alone


def test_one_name_in_several_spellings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with alone(["model", "./model", Path("model"), str(tmp_path / "model"), "other"]):
        for spelling in ("model", tmp_path / "model", "../" + tmp_path.name + "/other"):
            refused = pytest.raises(BlockingIOError, match="another training saves to this name")
            with refused, alone([spelling]):
                pass
    with alone(["model", "other"]):  # free again
        pass


def test_a_prefix_that_is_a_folder(tmp_path, monkeypatch):
    """Stock DeepXDE writes "-100.pt" into it."""
    refused = pytest.raises(FileNotFoundError, match=r"there is no folder .*none\. Make")
    with refused, alone([f"{tmp_path}/none/"]):
        pass
    monkeypatch.chdir(tmp_path)
    with alone([""]), pytest.raises(BlockingIOError), alone([f"{tmp_path}/"]):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(number, tmp_path, monkeypatch):
    def no_lock(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", no_lock)
    told = pytest.warns(UserWarning, match="see to it that no other training saves to")
    with told, alone([tmp_path / "model"]):
        pass
