"""How the problems' networks see the inputs, and how they start."""

from typing import Any

import numpy as np
import pytest
import torch

import deepxde_balance as ddb


def test_dns_networks_see_the_domain_as_a_box():
    for name in ("burgers", "poisson", "allen-cahn-dn"):
        problem = ddb.problems.get(name, points=0.02)
        model = problem.model("equal", verbose=0)
        seen: list[Any] = []
        model.net.linears[0].register_forward_hook(lambda m, args, out, s=seen: s.append(args[0]))
        model.predict(np.array(problem.domain, np.float32))
        assert seen[0].tolist() == [[-1, -1], [1, 1]]
        weight = model.net.linears[1].weight
        width = weight.shape[0]
        assert weight.std().item() == pytest.approx(width**-0.5, rel=0.15)


def test_the_plain_network_sees_the_inputs_as_they_are():
    model = ddb.problems.get("klein-gordon-plain", points=0.02).model("equal", verbose=0)
    seen = []
    model.net.linears[0].register_forward_hook(lambda m, args, out: seen.append(args[0]))
    model.predict(np.array([[0, 0.25], [1, 0.75]], np.float32))
    assert seen[0].tolist() == [[0, 0.25], [1, 0.75]]
    assert model.net.linears[1].weight.std().item() == pytest.approx(50**-0.5, rel=0.1)


def test_dbs_networks_start_with_tanhs_gain():
    weight = ddb.problems.get("klein-gordon", points=0.02).model(verbose=0).net.linears[1].weight
    assert weight.std().item() == pytest.approx(5 / 3 * 50**-0.5, rel=0.1)


def test_the_network_sees_normalised_inputs():
    model = ddb.problems.get("helmholtz", points=0.05).model(verbose=0)
    seen = []
    model.net.linears[0].register_forward_hook(lambda m, args, out: seen.append(args[0]))
    model.predict(model.data.train_x_all)
    torch.testing.assert_close(seen[0].mean(dim=0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen[0].std(dim=0, correction=0), torch.ones(2))
