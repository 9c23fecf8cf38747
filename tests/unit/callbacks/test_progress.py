"""Progress: what stands on the bar, in a terminal, a log file, after an error and a resume."""

import io
import re
import sys
from typing import Any

import deepxde as dde
import pytest
import torch
from _support import scripts

import deepxde_balance as ddb
from deepxde_balance.callbacks import progress


def compiled(kind=dde.Model, **compile_args):
    model = kind(scripts.klein_gordon(solution=scripts.exact), scripts.network())
    model.compile("adam", lr=1e-2, verbose=0, **compile_args)
    return model


def bars(text):
    """The states of the bar, as they would be seen one after the other."""
    return [line for line in re.split(r"[\r\n]+", text) if line.strip()]


class Failing(dde.callbacks.Callback):
    """Ends training with Ctrl-C at an iteration."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def on_batch_end(self):
        if self.model.train_state.step == self.at:
            raise KeyboardInterrupt


def test_it_counts_and_shows_what_was_recorded_last(capsys):
    model = compiled(ddb.Model, loss_weights="db-std", metrics=["l2 relative error"])
    model.train(iterations=7, verbose=0, callbacks=[ddb.Progress(7, "training")])
    last = bars(capsys.readouterr().err)[-1]
    assert "training: 100%" in last and "7/7" in last
    assert f"loss={model.train_state.loss_train.sum():.2e}" in last
    assert f"l2_relative_error={model.train_state.metrics_test[0]:.2e}" in last
    name, weight = max(model.weights.items(), key=lambda item: item[1])
    assert f"weight={name} {weight:.3g}" in last


def test_without_metrics_and_weights(capsys):
    compiled().train(iterations=3, verbose=0, callbacks=[ddb.Progress()])
    last = bars(capsys.readouterr().err)[-1]
    assert last.startswith("3it ") and "loss=" in last
    assert "error" not in last and "weight" not in last


def test_a_log_file_stays_small(capsys, monkeypatch):
    compiled().train(iterations=40, verbose=0, callbacks=[ddb.Progress(40)])
    assert len(bars(capsys.readouterr().err)) == 2  # begin and end
    monkeypatch.setattr("sys.stderr", Terminal())
    recorded: list[dict[str, Any]] = []
    monkeypatch.setattr(progress, "tqdm", lambda **given: recorded.append(given) or FakeBar())
    compiled().train(iterations=1, verbose=0, callbacks=[ddb.Progress(1)])
    assert recorded[0]["mininterval"] < 1


class Terminal(io.StringIO):
    def isatty(self):
        return True


class FakeBar:
    n = 0

    def __init__(self):
        self.postfixes = []
        self.closed = False

    def update(self, number):
        self.n += number

    def set_postfix(self, values, refresh):
        assert not refresh
        self.postfixes.append(values)

    def close(self):
        self.closed = True


def test_the_numbers_are_refreshed_with_the_records_only(monkeypatch):
    bar = FakeBar()
    monkeypatch.setattr(progress, "refresh_interval", lambda: 30.0)
    monkeypatch.setattr(progress, "tqdm", lambda **_: bar)
    compiled().train(iterations=9, display_every=4, verbose=0, callbacks=[ddb.Progress(9)])
    assert len(bar.postfixes) == 4  # at 0, 4, 8 and 9
    assert bar.n == 9 and bar.closed


def test_after_ctrl_c_the_same_bar_goes_on(capsys):
    model, bar = compiled(), ddb.Progress(10, "run")
    with pytest.raises(KeyboardInterrupt):
        model.train(iterations=10, verbose=0, callbacks=[bar, Failing(4)])
    capsys.readouterr()
    model.train(iterations=6, verbose=0, callbacks=[bar])
    seen = bars(capsys.readouterr().err)
    assert "4/10" in seen[0]  # the broken one, ended
    assert [line for line in seen if "0/10" in line and "10/10" not in line] == []
    assert "100%" in seen[-1] and "10/10" in seen[-1]
    model.train(iterations=10, verbose=0, callbacks=[bar])  # that one was finished
    assert "0/10" in bars(capsys.readouterr().err)[0]


def test_a_resumed_run_goes_on_where_it_was(tmp_path, capsys):
    first = compiled(ddb.Model, loss_weights="db-std")
    first.train(iterations=3, verbose=0)
    first.train(iterations=4, verbose=0, callbacks=[ddb.Progress(9)])
    path = first.save(str(tmp_path / "m"))
    capsys.readouterr()
    second = compiled(ddb.Model, loss_weights="db-std")
    second.restore(path)
    second.train(iterations=5, verbose=0, callbacks=[ddb.Progress(9)])
    seen = bars(capsys.readouterr().err)
    assert "4/9" in seen[1]
    assert "9/9" in seen[-1]


def test_another_model_has_another_bar(capsys):
    bar = ddb.Progress(5)
    with pytest.raises(KeyboardInterrupt):
        compiled().train(iterations=5, verbose=0, callbacks=[bar, Failing(2)])
    capsys.readouterr()
    compiled().train(iterations=5, verbose=0, callbacks=[bar])
    assert "5/5" in bars(capsys.readouterr().err)[-1]


def test_after_ctrl_c_a_training_without_the_bar(capsys):
    """The bar is closed, and each model records its own losses."""
    first, second, bar = compiled(), compiled(), ddb.Progress(5)
    with pytest.raises(KeyboardInterrupt):
        first.train(iterations=5, verbose=0, callbacks=[bar, Failing(2)])
    second.train(iterations=5, verbose=0, callbacks=[bar])
    first.train(iterations=3, verbose=0)
    assert first.losshistory.steps == [0, 2, 5] and second.losshistory.steps == [0, 5]
    with pytest.raises(KeyboardInterrupt):
        first.train(iterations=5, verbose=0, callbacks=[ddb.Progress(5), Failing(7)])
    first.train(iterations=1, verbose=0)
    assert "_test" not in vars(first)
    capsys.readouterr()
    first.train(iterations=3, verbose=0, callbacks=[ddb.Progress(3)])
    assert "2/5" not in capsys.readouterr().err  # the interrupted bar is no more


def test_it_changes_nothing():
    seen, unseen = compiled(), compiled()
    seen.train(iterations=4, verbose=0, callbacks=[ddb.Progress(4)])
    unseen.train(iterations=4, verbose=0)
    assert torch.equal(scripts.parameters_of(seen), scripts.parameters_of(unseen))


def test_bad_argument():
    with pytest.raises(ValueError, match="iterations=0 is not allowed"):
        ddb.Progress(0)


class Screen(io.StringIO):
    """What stdout and stderr write together, on a terminal or in a file."""

    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal

    def lines(self):
        """The lines as a terminal shows them, where a carriage return goes to the line's start."""
        shown = []
        for line in self.getvalue().split("\n"):
            row = ""
            for part in line.split("\r"):
                row = part + row[len(part) :]
            shown.append(row.rstrip())
        return shown


@pytest.mark.parametrize("terminal", [True, False])
def test_the_table_has_lines_of_its_own(terminal, monkeypatch):
    screen = Screen(terminal)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    model = ddb.problems.get("harmonic").model("equal", verbose=0)
    model.train(iterations=30, display_every=10, callbacks=[ddb.Progress(30)])
    records = [line for line in screen.lines() if "[" in line and "]    [" in line]
    assert [line.split()[0] for line in records] == ["0", "10", "20", "30"]
    assert not any("it/s" in line for line in records)
    assert any("30/30" in line for line in screen.lines())
    assert "_test" not in vars(model)
