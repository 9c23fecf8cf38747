"""The contract of imports holds, and breaks where a file imports what it must not."""

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = Path(sys.executable).with_name("lint-imports")


def lint(folder):
    """lint-imports on the package in a folder, which is the one that it finds first."""
    return subprocess.run([LINT, "--no-cache"], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def copied(tmp_path):
    """The package's files and their contract, to be spoiled."""
    shutil.copytree(
        ROOT / "deepxde_balance",
        tmp_path / "deepxde_balance",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def add(folder, file, line):
    path = folder / "deepxde_balance" / file
    path.write_text(path.read_text() + "\n" + line + "\n")


def test_the_package_keeps_its_contract(copied):
    result = lint(copied)
    assert result.returncode == 0, result.stdout
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(
    "file, line, told",
    [
        (
            "weightings/base.py",
            "from ..model import Model",
            "deepxde_balance.weightings.base -> deepxde_balance.model",
        ),
        (
            "weightings/base.py",
            "from .._files import replaced",
            "deepxde_balance.weightings.base -> deepxde_balance._files",
        ),
        (
            "terms/term.py",
            "from .. import Model",
            "deepxde_balance.terms.term -> deepxde_balance (",
        ),
        (
            "gradients/base.py",
            "def late():\n    from ..training import step",
            "deepxde_balance.gradients.base -> deepxde_balance.training.step",
        ),
        (
            "weightings/statistics.py",
            "from .gradient import GW",
            "No cycles are allowed in deepxde_balance.weightings.",
        ),
    ],
    ids=["model", "a lower floor", "the package itself", "within a function", "a circle"],
)
def test_a_forbidden_import_is_named(copied, file, line, told):
    add(copied, file, line)
    result = lint(copied)
    assert result.returncode == 1
    assert told in " ".join(result.stdout.split())


def test_a_new_folder_must_be_given_its_floor(copied):
    (copied / "deepxde_balance" / "attic.py").write_text("")
    result = lint(copied)
    assert result.returncode == 1
    assert "deepxde_balance.attic" in result.stdout


def test_everything_but_checks_is_forbidden_to_weightings():
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter")
    forbidden = contract["importlinter:contract:weightings"]["forbidden_modules"].split()
    children = {
        f"deepxde_balance.{path.stem}"
        for path in (ROOT / "deepxde_balance").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    allowed = {f"deepxde_balance.{name}" for name in ("__init__", "weightings", "_checks")}
    assert set(forbidden) | allowed >= children
