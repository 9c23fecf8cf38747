"""Functions of scripts, as the command line is given them."""

import pickle
import sys

import pytest

from deepxde_balance.experiments.script import Script, is_script

TEXT = """
import helper_of_the_script
def build():
    import other_helper
    return helper_of_the_script.VALUE + other_helper.VALUE
def bulid_else():
    pass
VALUE = 3
if __name__ == "__main__":
    raise SystemExit("run as the main program")
"""


@pytest.fixture
def script(tmp_path):
    (tmp_path / "mine.py").write_text(TEXT)
    (tmp_path / "helper_of_the_script.py").write_text("VALUE = 40")
    (tmp_path / "other_helper.py").write_text("VALUE = 2")
    before = set(sys.modules)
    yield tmp_path / "mine.py"
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_it_is_imported_with_its_folder_on_the_path(script):
    path = list(sys.path)
    build = Script(f"{script}:build")
    assert sys.path == path
    assert build() == 42
    assert sys.path == path
    assert build.__name__ == "mine.py:build"


def test_a_worker_process_imports_it_again(script):
    data = pickle.dumps(Script(f"{script}:build"))
    for name in [name for name in sys.modules if name.endswith("mine")]:
        del sys.modules[name]
    assert pickle.loads(data)() == 42
    assert any(name.endswith("mine") for name in sys.modules)


@pytest.mark.parametrize(
    "function, message",
    [
        ("built", "Unknown function of mine.py 'built'. Did you mean 'build'.* Known: build, bul"),
        ("VALUE", "Unknown function of mine.py 'VALUE'"),
        ("", "Unknown function of mine.py ''"),
    ],
)
def test_a_function_that_is_missing(function, message, script):
    with pytest.raises(ValueError, match=message):
        Script(f"{script}:{function}")


def test_a_script_that_is_missing_or_broken(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.py: there is no such script"):
        Script(f"{tmp_path / 'none.py'}:build")
    (tmp_path / "broken.py").write_text("1 / 0")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"broken.py: importing it failed: ZeroDivisionError"):
            Script(f"{tmp_path / 'broken.py'}:build")


def test_a_script_without_a_function():
    with pytest.raises(ValueError, match=r"a/b.py: name the function, too: a/b.py:build"):
        Script("a/b.py")


def test_what_is_a_script():
    assert is_script("a/b.py:build") and is_script("b.py:") and is_script("b.py")
    assert not is_script("klein-gordon") and not is_script("all")


def test_it_has_no_arguments(tmp_path, monkeypatch):
    """A script that reads its own command line sees none, and not that of the tool."""
    monkeypatch.setattr(sys, "argv", ["tool", "compare", "--iterations", "7"])
    path = tmp_path / "parses.py"
    path.write_text("import sys\nAT_IMPORT = list(sys.argv)\ndef build():\n    return sys.argv[:]")
    build = Script(f"{path}:build")
    assert build() == [str(path)]
    assert [str(path)] == sys.modules[build._find().__module__].AT_IMPORT
    assert sys.argv == ["tool", "compare", "--iterations", "7"]


def test_a_script_that_needs_arguments(tmp_path):
    path = tmp_path / "needs.py"
    path.write_text("raise SystemExit(2)")
    with pytest.raises(ValueError, match=r"SystemExit: 2\. It is imported without arguments"):
        Script(f"{path}:build")
