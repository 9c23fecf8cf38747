"""What every weighting must do, as asserts on any of them; and the numbers to feed them."""

import io
import math

import torch

from deepxde_balance.weightings.group_gradients import GroupGradients
from deepxde_balance.weightings.kinds import FromGradients, FromKernel, FromLossesAndKernel

NUM_GROUPS = 3


def started(weighting, num_groups=NUM_GROUPS, dtype=torch.float64, device="cpu"):
    """Reset to its groups, and attached to an Adam of some network."""
    weighting.attach(network_optimizer(torch.optim.Adam, lr=0.01))
    weighting.reset(num_groups, torch.zeros(1, dtype=dtype, device=device))
    return weighting


def network_optimizer(kind, **options):
    return kind([torch.nn.Parameter(torch.zeros(2))], **options)


def losses_at(seed, num_groups=NUM_GROUPS):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(num_groups, generator=rng, dtype=torch.float64) * 3 + 0.1


def rows_at(seed, num_groups=NUM_GROUPS, num_parameters=20):
    rng = torch.Generator().manual_seed(1000 + seed)
    rows = torch.randn(num_groups, num_parameters, generator=rng, dtype=torch.float64)
    sizes = torch.tensor([10.0, 1.0, 0.1, 3.0], dtype=torch.float64)
    return rows * sizes[:num_groups, None]


def feed(weighting, losses, rows):
    """One update with what this kind of weighting reads; traces are the rows' squared norms."""
    if isinstance(weighting, FromGradients):
        weighting.update_and_check(losses, GroupGradients(rows))
    elif isinstance(weighting, FromKernel):
        weighting.update_and_check(rows.square().sum(dim=1))
    elif isinstance(weighting, FromLossesAndKernel):
        if weighting.probes_due():
            weighting.take_traces(rows.square().sum(dim=1))
        weighting.update_and_check(losses)
    else:
        weighting.update_and_check(losses)
    weighting.iteration += 1


def history(weighting, seeds):
    """The weights that each of some updates leaves."""
    weights = []
    for seed in seeds:
        feed(weighting, losses_at(seed), rows_at(seed))
        weights.append(weighting.weights.clone())
    return torch.stack(weights)


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def assert_resumes(make, updates=4):
    """Saved in the middle and loaded into a fresh object, it goes on as the unbroken one."""
    unbroken = started(make())
    history(unbroken, range(updates))
    state, chance = through_a_file(unbroken.state_dict()), torch.get_rng_state()
    resumed = make()
    resumed.load_state_dict(state)
    resumed.attach(network_optimizer(torch.optim.Adam, lr=0.01))
    again = started(make())
    again.load_state_dict(state)
    later = range(updates, 2 * updates)
    expected = history(unbroken, later)
    for weighting in (resumed, again):
        torch.set_rng_state(chance)
        assert weighting.iteration == updates
        assert torch.equal(history(weighting, later), expected)
        assert torch.equal(weighting.ever_skipped(), unbroken.ever_skipped())


def assert_has_memory(make, updates=4):
    """Without its state it would go on differently, so that resuming means something."""
    unbroken, fresh = started(make()), started(make())
    history(unbroken, range(updates))
    chance = torch.get_rng_state()
    later = range(updates, 2 * updates)
    expected = history(unbroken, later)
    torch.set_rng_state(chance)
    assert not torch.equal(history(fresh, later), expected)


def assert_order_does_not_matter(make, updates=5):
    straight, permuted = started(make()), started(make())
    order = [0, 2, 1]
    for seed in range(updates):
        chance = torch.get_rng_state()
        feed(straight, losses_at(seed), rows_at(seed))
        torch.set_rng_state(chance)
        feed(permuted, losses_at(seed)[order], rows_at(seed)[order])
    torch.testing.assert_close(permuted.weights, straight.weights[order])
    assert len(set(straight.weights.tolist())) > 1


def assert_survives_what_is_not_finite(make, sees_losses=True):
    """Losses and gradients of nan or inf leave all weights and the state as they were."""
    clean, spoilt = started(make()), started(make())
    chance = torch.get_rng_state()
    history(clean, range(3))
    torch.set_rng_state(chance)
    history(spoilt, range(3))
    # A first one, after which weights that lag behind their state have caught up.
    feed(spoilt, losses_at(3) * math.nan, rows_at(3) * math.nan)
    before = spoilt.weights.clone()
    for bad in (math.nan, math.inf, -math.inf):
        losses, rows = losses_at(3), rows_at(3)
        losses[1] = bad
        if not sees_losses:
            rows = torch.full_like(rows, bad)
        feed(spoilt, losses, rows)
        torch.testing.assert_close(
            spoilt.weights, before, rtol=0, atol=0, msg=f"a loss of {bad} changed the weights"
        )
    chance = torch.get_rng_state()
    expected = history(clean, range(4, 8))
    torch.set_rng_state(chance)
    assert torch.equal(history(spoilt, range(4, 8)), expected)


def assert_reads_nothing_on_the_host(make, updates=3):
    """On the meta device, whose tensors have no values that could be read."""
    weighting = started(make(), dtype=torch.float32, device="meta")
    for seed in range(updates):
        feed(
            weighting,
            losses_at(seed).to(device="meta", dtype=torch.float32),
            rows_at(seed).to(device="meta", dtype=torch.float32),
        )
    assert {t.device.type for t in (*weighting.buffers(), *weighting.parameters())} == {"meta"}


def assert_keeps_single_precision(make, updates=4, rtol=1e-4):
    """In float32 it gives float32, and what it gives in float64."""
    single, double = started(make(), dtype=torch.float32), started(make())
    for seed in range(updates):
        chance = torch.get_rng_state()
        feed(double, losses_at(seed), rows_at(seed))
        torch.set_rng_state(chance)
        feed(single, losses_at(seed).float(), rows_at(seed).float())
    assert single.weights.dtype == torch.float32
    tensors = [t for t in (*single.buffers(), *single.parameters()) if t.is_floating_point()]
    assert {t.dtype for t in tensors} == {torch.float32}
    torch.testing.assert_close(single.weights.double(), double.weights, rtol=rtol, atol=1e-6)


def assert_is_a_good_weighting(make, sees_losses=True):
    """All of the above but `assert_has_memory`, for a weighting that treats all groups alike.

    Args:
        make: Makes the weighting.
        sees_losses: Whether its update reads the losses; if not, gradients are spoilt.
    """
    assert_resumes(make)
    assert_order_does_not_matter(make)
    assert_survives_what_is_not_finite(make, sees_losses)
    assert_reads_nothing_on_the_host(make)
    assert_keeps_single_precision(make)
