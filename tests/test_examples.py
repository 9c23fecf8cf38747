"""Every example runs, shortened, as a user types it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(script, *arguments, cwd):
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "DDE_BACKEND": "pytorch"},
    )


@pytest.mark.parametrize("name", ["klein_gordon", "helmholtz_inner_balancing"])
def test_example(name, tmp_path):
    code = (EXAMPLES / f"{name}.py").read_text()
    short, number = re.subn(r"ITERATIONS = \d+", "ITERATIONS = 5", code)
    assert number == 1
    short = re.sub(r"num_domain=\d+", "num_domain=100", short)
    (tmp_path / "short.py").write_text(short)
    result = run(tmp_path / "short.py", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.search(r"L2 relative error: \d", result.stdout)
    assert not re.search(r"^.*Error", result.stderr, re.MULTILINE)


def test_demo(tmp_path):
    result = run(EXAMPLES / "demo.py", "--iterations", "20", "--points", "0.02", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "| db-kurtosis | " in result.stdout
    assert "klein-gordon, equal: 100%" in result.stderr
    figure = re.search(r"Figure: (.*)", result.stdout)[1]
    assert (tmp_path / figure).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--weights", "db-kurt"], "Did you mean 'db-kurtosis'"),
        (["--problem", "heat"], "invalid choice: 'heat'"),
        (["--iterations", "0"], "iterations=0 is not allowed"),
        (["--points", "-1"], "points=-1.0 is not allowed"),
    ],
)
def test_demo_refuses_bad_arguments(arguments, message, tmp_path):
    result = run(EXAMPLES / "demo.py", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
