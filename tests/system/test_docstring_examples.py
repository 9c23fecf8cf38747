"""The examples in the package's docstrings run, and print what they say."""

import doctest
import importlib
import pkgutil

import matplotlib.pyplot as plt
import pytest

import deepxde_balance
from deepxde_balance.weightings import registry

MODULES = [
    module.name
    for module in pkgutil.walk_packages(deepxde_balance.__path__, "deepxde_balance.")
    if not module.name.endswith("__main__")
]


def examples(name):
    tests = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name))
    return [test for test in tests if test.examples]


@pytest.mark.parametrize("name", [name for name in MODULES if examples(name)])
def test_the_examples_of_a_module_run(name, monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "_REGISTERED", {})
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner()
    for test in examples(name):
        runner.run(test)
    plt.close("all")
    assert runner.summarize().failed == 0


def test_the_public_strategies_have_examples():
    found = {test.name.rpartition(".")[2] for name in MODULES for test in examples(name)}
    assert {"DB", "DN", "GW", "FromGradients", "FromLosses", "register", "diagnose"} <= found
