"""What a user sees at import."""

import subprocess
import sys


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_another_backend_is_refused_with_a_way_out():
    result = run(
        "import deepxde.backend; deepxde.backend.backend_name = 'jax'\nimport deepxde_balance"
    )
    assert result.returncode == 1
    assert "ImportError: deepxde_balance needs DeepXDE's PyTorch backend" in result.stderr
    assert "DDE_BACKEND=pytorch" in result.stderr


def test_import_order_does_not_matter():
    result = run("import deepxde_balance as ddb, deepxde; print(ddb.Model.__name__)")
    assert result.stdout.split()[-1] == "Model"
