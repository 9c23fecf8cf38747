"""One version: the package's own, which the metadata take from it."""

import re
from pathlib import Path

from packaging.version import Version
from setuptools.config.setupcfg import read_configuration

import deepxde_balance as ddb

ROOT = Path(__file__).parents[2]


def test_the_metadata_take_the_version_from_the_package(tmp_path):
    (tmp_path / "setup.cfg").write_text((ROOT / "setup.cfg").read_text())
    (tmp_path / "README.md").touch()
    (tmp_path / "LICENSE").touch()
    package = tmp_path / "deepxde_balance"
    package.mkdir()
    (package / "__init__.py").write_text('import missing\n\n__version__ = "9.8.7"\n')
    assert read_configuration(tmp_path / "setup.cfg")["metadata"]["version"] == "9.8.7"


def test_this_checkout_s_version_is_in_the_changelog():
    """A version in development is the unreleased one, and newer than the last released."""
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[0] == "Unreleased"
    if Version(ddb.__version__).is_devrelease:
        assert Version(ddb.__version__) > Version(headings[1])
    else:
        assert ddb.__version__ == headings[1]
