"""Files that are never half written."""

import os

from deepxde_balance._files import replaced


def test_what_replaces_a_file_is_on_the_disk_before(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    path.write_text("old")
    synced, calls = [], []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd)))
    rename = os.replace

    def replace(source, target):
        calls.append((os.stat(source).st_ino, path.read_text()))
        rename(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with replaced(path) as beside:
        beside.write_text("newer")
    assert path.read_text() == "newer"
    assert [(s.st_ino, s.st_size) for s in synced] == [(path.stat().st_ino, 5)]
    assert calls == [(synced[0].st_ino, "old")]
