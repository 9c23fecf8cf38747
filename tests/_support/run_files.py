"""What runs leave in their folder, and runs that are stopped."""

import json
from pathlib import Path

import deepxde as dde

TIMES = ("seconds", "seconds_per_iteration")


def content(path):
    return json.loads(Path(path).read_text())


def without_times(path):
    return {name: value for name, value in content(path).items() if name not in TIMES}


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


class KillAt(dde.callbacks.Callback):
    """Ctrl-C at an iteration, as long as it is armed."""

    armed = True
    #: The iterations at which trainings began.
    began: list[int] = []

    def __init__(self, iteration):
        super().__init__()
        self.iteration = iteration

    def on_train_begin(self):
        self.began.append(self.model.train_state.iteration)

    def on_epoch_end(self):
        if self.armed and self.model.train_state.iteration >= self.iteration:
            raise KeyboardInterrupt
