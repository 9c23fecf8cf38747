"""Every example runs, shortened, as a user types it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(script, cwd):
    return subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "DDE_BACKEND": "pytorch", "MPLBACKEND": "Agg"},
    )


#: What makes an example short, for those of these that it has.
SHORTER = {
    r"^ITERATIONS = \d+": "ITERATIONS = 5",
    r"^POINTS = [\d.]+": "POINTS = 0.01",
    r"^CALLS = \d+": "CALLS = 2",
    r"^STRATEGIES = .*": 'STRATEGIES = ["equal", "db-kurtosis"]',
    r"^LBFGS_ITERATIONS = \d+": "LBFGS_ITERATIONS = 5\n"
    "dde.optimizers.config.LBFGS_options.update(iter_per_step=5, fun_per_step=20)",
    r"num_domain=\d+": "num_domain=100",
    r"^SEEDS = \d+": "SEEDS = 1",
}

NUMBER = r"\d+\.\d+"
PRINTED = {
    "klein_gordon": f"L2 relative error: {NUMBER}",
    "helmholtz_inner_balancing": f"L2 relative error: {NUMBER}",
    "adaptive_weights_callback": rf"Weights: {{'pde': 1.0, 'bc': {NUMBER}, 'ic': {NUMBER}}}",
    "inverse_burgers": rf"C1 = {NUMBER} \(1\), C2 = {NUMBER} \(0.00318\)",
    "compare_strategies": rf"\| db-kurtosis \| {NUMBER}% \| {NUMBER}% \| pde 1, bc ",
    "compare_own_problem": rf"\| db-kurtosis +\| +{NUMBER}e[+-]0\d \|[\s\S]*Best: ",
    "tune_static_weights": rf"db-mean, 10 iterations in all: L2RE {NUMBER}%",
    "own_strategy": rf"level-norms:update_every=10: L2RE {NUMBER}, weights {{'pde': 1.0, ",
    "diagnose": rf"Unbalanced: bc0's gradient is [\s\S]*\n        5   +{NUMBER}%  +{NUMBER}%  ",
}


@pytest.mark.parametrize("name", PRINTED)
def test_example(name, tmp_path):
    code = (EXAMPLES / f"{name}.py").read_text()
    assert re.search(r"^ITERATIONS = \d+", code, re.MULTILINE)
    for long, short in SHORTER.items():
        code = re.sub(long, short, code, flags=re.MULTILINE)
    (tmp_path / "short.py").write_text(code)
    result = run(tmp_path / "short.py", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.search(PRINTED[name], result.stdout), result.stdout
    assert not re.search(r"^.*Error", result.stderr, re.MULTILINE)


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PRINTED)
