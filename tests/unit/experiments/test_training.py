import os

import pytest
import torch

from deepxde_balance.experiments.training import threads_of_a_run


@pytest.mark.parametrize(("at_a_time", "threads"), [(1, 8), (3, 2), (20, 1)])
def test_the_cores_are_divided_among_the_runs(at_a_time, threads, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert threads_of_a_run(at_a_time) == threads


def test_a_number_that_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert threads_of_a_run(1) == 3
