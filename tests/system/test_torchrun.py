"""Jobs of torchrun: they train, end when a rank is killed, and go on from the last checkpoint.

More moments of a kill than three, and how long each job took to end:

    KILLS=10 python -m pytest tests/system/test_torchrun.py -m slow -k killed -rP
"""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

ITERATIONS = 150
KILLS = int(os.environ.get("KILLS", "3"))

SCRIPT = textwrap.dedent(
    f"""
    import os
    import signal
    import sys
    import time
    from pathlib import Path

    import deepxde as dde
    import numpy as np
    from _support import scripts

    import deepxde_balance as ddb

    folder, kill_at = Path(sys.argv[1]), int(sys.argv[2])
    ranks = ddb.distributed(timeout=40)
    print("printed by rank", ranks.rank)


    class Moments(dde.callbacks.Callback):
        def on_batch_begin(self):
            pid = folder / f"pid{{ranks.rank}}"
            if not pid.exists():
                pid.write_text(str(os.getpid()))
            time.sleep(0.03)
            killed, step = folder / "killed", self.model.train_state.step
            if step == kill_at and not ranks.is_first and not killed.exists():
                killed.touch()
                os.kill(os.getpid(), signal.SIGKILL)


    model = ddb.Model(scripts.klein_gordon(), scripts.network())
    model.compile("adam", lr=1e-2, loss_weights="gw-std", point_weights="rba", verbose=0)
    path = ddb.last_checkpoint(folder / "m")
    if path is not None:
        model.restore(path)
        print("goes on from", model.train_state.step)
    saving = dde.callbacks.ModelCheckpoint(str(folder / "m"), period=20)
    callbacks = [saving, Moments(), ddb.SaveOnSigterm(folder / "m")]
    left = {ITERATIONS} - model.train_state.step
    model.train(iterations=left, callbacks=callbacks, verbose=0)
    np.save(folder / f"rank{{ranks.rank}}.npy", scripts.parameters_of(model).numpy())
    """
)


def start(folder, *options, kill_at=-1):
    """A job of two ranks that writes into a folder."""
    folder.mkdir(exist_ok=True)
    (folder / "script.py").write_text(SCRIPT)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    return subprocess.Popen(
        [*command, *options, folder / "script.py", folder, str(kill_at)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def parameters(folder):
    first, second = (np.load(folder / f"rank{rank}.npy") for rank in (0, 1))
    np.testing.assert_array_equal(first, second)
    return first


def finished(job):
    output, _ = job.communicate(timeout=180)
    assert job.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The parameters of a job that was not broken."""
    folder = tmp_path_factory.mktemp("unbroken")
    output = finished(start(folder))
    assert "printed by rank 0" in output and "printed by rank 1" not in output
    return parameters(folder)


def pids_in_training(job, folder):
    """The processes of both ranks, once they train."""
    files = [folder / f"pid{rank}" for rank in (0, 1)]
    while not all(file.exists() and file.read_text() for file in files):
        assert job.poll() is None, job.communicate()[0]
        time.sleep(0.05)
    return [int(file.read_text()) for file in files]


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(KILLS))
def test_a_killed_rank_ends_the_job_which_can_go_on(moment, tmp_path, unbroken):
    job = start(tmp_path)
    pids = pids_in_training(job, tmp_path)
    chance = random.Random(moment)
    time.sleep(chance.uniform(0, 2.5))
    killed = time.monotonic()
    os.kill(pids[chance.randrange(2)], signal.SIGKILL)
    output, _ = job.communicate(timeout=60)
    ended_after = time.monotonic() - killed
    assert ended_after < 60
    assert job.returncode != 0
    assert "SIGKILL" in output  # torchrun's report
    saved = list(tmp_path.glob("m-*.pt"))  # perhaps none yet
    print(f"ended after {ended_after:.1f} s, {len(saved)} checkpoint(s) to go on from")
    assert ("goes on from" in finished(start(tmp_path))) == bool(saved)
    np.testing.assert_array_equal(parameters(tmp_path), unbroken)


@pytest.mark.slow
def test_a_restart_goes_on_from_the_last_checkpoint(tmp_path, unbroken):
    output = finished(start(tmp_path, "--max-restarts=1", kill_at=50))
    assert "goes on from 40" in output
    np.testing.assert_array_equal(parameters(tmp_path), unbroken)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["rank 0", "rank 1", "rank 1 twice", "torchrun and the ranks"])
def test_ranks_end_together_after_sigterm(to, tmp_path, unbroken):
    job = start(tmp_path)
    first, second = pids_in_training(job, tmp_path)
    time.sleep(0.7)
    sent = {"rank 0": [first], "rank 1": [second], "rank 1 twice": [second, second]}
    for pid in sent.get(to, [job.pid, first, second]):
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.05)
    output, _ = job.communicate(timeout=60)
    assert job.returncode != 0
    saved = [int(path.stem.partition("-")[2]) for path in tmp_path.glob("m-*.pt")]
    assert f"saved {tmp_path}/m-{max(saved)}.pt at iteration {max(saved)}" in output
    assert max(saved) < ITERATIONS
    assert f"goes on from {max(saved)}" in finished(start(tmp_path))
    np.testing.assert_array_equal(parameters(tmp_path), unbroken)
