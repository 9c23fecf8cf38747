"""README.md and the site: the code runs, shortened, and every public name has its place."""

import inspect
import os
import pydoc
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import create_autospec

import deepxde as dde
import matplotlib.pyplot as plt
import nbformat
import pytest
from _support.pages import ITERATIONS, pages, problem, short_training, shortened
from nbclient import NotebookClient
from sybil.document import Document
from sybil.parsers.myst import PythonCodeBlockParser, SkipParser

import deepxde_balance as ddb
from deepxde_balance import plots
from deepxde_balance.weightings import registry

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "DDE_BACKEND": "pytorch",
    "MPLBACKEND": "Agg",
    "PYTHONPATH": str(ROOT),
}
MODULES = {"": ddb, "weightings.": ddb.weightings, "problems.": ddb.problems, "plots.": plots}
WITH_CODE = [path for path in pages(ROOT) if "```python" in path.read_text(encoding="utf-8")]


@pytest.fixture
def short(monkeypatch, optimizer_options):
    """Trainings of a few iterations, one seed, one process, two calls of a search."""
    one = {"iterations": ITERATIONS, "seeds": 1, "jobs": 1}
    monkeypatch.setattr(dde.Model, "train", short_training(dde.Model.train))
    monkeypatch.setattr(ddb, "compare", shortened(ddb.compare, **one, out="compared"))
    tunings = iter(range(10))
    tune = ddb.tune
    monkeypatch.setattr(
        ddb,
        "tune",
        lambda *args, **kwargs: shortened(tune, **one, calls=2, out=f"tuned{next(tunings)}")(
            *args, **kwargs
        ),
    )
    monkeypatch.setattr(ddb, "distributed", create_autospec(ddb.distributed))
    dde.optimizers.set_LBFGS_options(maxiter=ITERATIONS)
    yield
    dde.config.set_default_float("float32")  # which a page may have changed


@pytest.mark.filterwarnings("ignore")  # pages compile again and again, and train too briefly
@pytest.mark.parametrize("path", WITH_CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_code_of_a_page_runs(path, short, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_REGISTERED", {})
    Path("run").mkdir()
    document = Document.parse(str(path), SkipParser(), PythonCodeBlockParser())
    document.namespace.update(problem())
    examples = list(document.examples())
    assert examples
    for example in examples:
        example.evaluate()
    plt.close("all")


def test_the_demo_ends_with_a_table_a_figure_and_the_line_to_try_next(tmp_path):
    script = (ROOT / "docs/figures/demo.py").read_text(encoding="utf-8")
    for name, small in {"ITERATIONS": 5, "POINTS": 0.01}.items():
        script, found = re.subn(rf"^{name} = [\d.]+", f"{name} = {small}", script, flags=re.M)
        assert found == 1
    (tmp_path / "demo.py").write_text(script, encoding="utf-8")
    command = [sys.executable, "demo.py", "--jobs", "1"]
    ran = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    table, last = ran.stdout.split("Figure: out/demo/demo.png")
    assert re.search(r"\| equal \| [\d.]+% \| pde 1, bc 1, ic 1 \|\n\| auto \| ", table)
    assert "deepxde-balance compare my_script.py:build" in last
    assert (tmp_path / "out/demo/demo.png").stat().st_size > 10_000
    assert "2 runs: 100%" in ran.stderr  # the bar


@pytest.mark.parametrize("name", ["forward", "inverse"])
def test_a_tutorial_runs(name, monkeypatch, tmp_path):
    """As a notebook, in a process of its own, with a few iterations."""
    monkeypatch.setenv("TUTORIAL_ITERATIONS", "60")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(ROOT / f"docs/tutorials/{name}.ipynb", as_version=4)
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    printed = "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )
    assert "term" in printed and "auto: " in printed


@pytest.mark.parametrize("prefix", MODULES)
def test_every_public_name_has_a_place_in_the_api(prefix):
    api = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs/api").glob("*.md"))
    documented = set(re.findall(r"^\.\. (?:auto|py:)\w+:: deepxde_balance\.([\w.]+)", api, re.M))
    names = set(MODULES[prefix].__all__) - {"problems", "weightings"}
    if prefix == "weightings.":  # most are documented as names of the package
        names -= set(ddb.__all__)
    assert {prefix + name for name in names} <= documented


#: These draw records of runs, and have no example.
WITHOUT_EXAMPLE = {
    *("mean_std", "min_max", "plot_coefficients"),
    *("plot_errors", "plot_loss_trajectory", "plot_snapshots"),
}


@pytest.mark.parametrize("prefix", MODULES)
def test_the_docstring_of_every_public_name_has_an_example(prefix):
    found = vars(MODULES[prefix])
    things = {name: found[name] for name in MODULES[prefix].__all__}
    without = [
        name
        for name, thing in things.items()
        if (inspect.isclass(thing) or inspect.isroutine(thing))
        and not re.search(r"\n *Example:", thing.__doc__ or "")
    ]
    assert set(without) <= WITHOUT_EXAMPLE


@pytest.mark.parametrize("name", ["DB", "Auto", "Model", "compare"])
def test_help_begins_with_what_is_ours(name):
    """What torch.nn.Module and DeepXDE add comes last."""
    text = pydoc.plain(pydoc.render_doc(getattr(ddb, name)))
    ours = re.search(r"^ [ |]+Example", text, re.M)
    others = re.search(r"inherited from (torch|deepxde\.)", text)
    assert ours and ours.start() < 6000
    assert others is None or ours.start() < others.start()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="an older Sphinx links other names")
def test_the_site_builds_without_a_warning(tmp_path):
    """A link to a page, a heading or a name that is not there is one."""
    html = tmp_path / "html"
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", str(html)]
    built = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    front = (html / "index.html").read_text(encoding="utf-8")
    assert "loss_weights" in front
    for page in html.rglob("*.html"):  # nothing is loaded from elsewhere
        text = page.read_text(encoding="utf-8")
        assert not re.search(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//', text), page
