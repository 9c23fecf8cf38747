"""Runs of the benchmark problems and of one's own: recorded, resumable, several at a time."""

from .run import OtherRunError, Run, finished
from .sweep import Sweep
from .training import check_device, train

__all__ = ["OtherRunError", "Run", "Sweep", "check_device", "finished", "train"]
