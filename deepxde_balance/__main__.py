"""The command line: `deepxde-balance`, or `python -m deepxde_balance`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, get_args

from . import point_weightings, problems, weightings
from ._checks import unknown_name
from .callbacks.progress import Progress
from .callbacks.save_on_sigterm import STATUS, Terminated
from .experiments import Run, Sweep, check_device, train
from .experiments.compare import compare
from .experiments.optimizers import OPTIMIZERS
from .experiments.script import Script, is_script
from .experiments.search_space import Space
from .experiments.tune import tune
from .experiments.user_sweep import AllRunsFailedError
from .gradients.choose import EngineName
from .results.record import Record, read

#: What --set and --iterations can change about the training of a script's problem.
_SCRIPT_SETTINGS = ("iterations", "lr", "lbfgs_iterations")


def main(arguments: list[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: The command and its arguments; ``None`` for those of the process.

    Returns:
        The exit status: 0, or 1 if a run failed, 2 for wrong input, 130 after Ctrl-C, 143 after
            SIGTERM.
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        status: int = given.command(given)
        return status
    except Terminated:
        print(
            "Stopped by SIGTERM. Finished runs are kept, unfinished ones have a checkpoint; the "
            "same command goes on where this one was.",
            file=sys.stderr,
        )
        return STATUS
    except KeyboardInterrupt:
        print(
            "\nStopped. Finished runs are kept; the same command goes on where this one was.",
            file=sys.stderr,
        )
        return 130
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"deepxde-balance: error: {_one_line(error)}", file=sys.stderr)
        return 2


def _list(given: argparse.Namespace) -> int:
    print("Problems:")
    for name in problems.names():
        problem = problems.get(name)
        summary = (type(problem).__doc__ or "").strip().splitlines()[0]
        print(f"  {name:16} {problem.iterations:6} iterations  {summary}")
    print("\nStrategies:")
    for name in weightings.names():
        if name != "keep":
            print(f"  {name}")
    print("\nWith parameters: dn:beta=0.9,bias_correction=false")
    names = ", ".join(point_weightings.names())
    print(f"With point weights ({names}), to compare on one's own problem: auto+brdr")
    return 0


def _train(given: argparse.Namespace) -> int:
    run = Run(given.problem, given.weights, given.seed, given.points, _settings(given))
    check_device(given.device)
    _writable(given.out)
    bar = Progress(run.iterations, f"{run.problem}, {run.weights}")
    record = train(
        run, given.out, given.device, given.threads, given.checkpoint_every, [bar], given.engine
    )
    print(_table([record]))
    print(f"\nRecord: {record.path}")
    return 0


def _compare(given: argparse.Namespace) -> int:
    if any(is_script(problem) for problem in given.problem):
        return _compare_on_script(given)
    if given.optimizer:
        raise ValueError("--optimizer is for a script, as my_script.py:build.")
    names = problems.names() if given.problem == ["all"] else given.problem
    runs = [
        Run(problem, weights, seed, given.points, _settings(given))
        for problem in names
        for seed in range(given.seeds)
        for weights in given.weights
    ]
    runs = list({run.record(given.out): run for run in runs}.values())  # aliases are one run
    check_device(given.device)
    _writable(given.out)
    sweep = Sweep(
        runs, given.out, given.device, given.threads, given.checkpoint_every, given.engine
    )
    failed = sweep.train(given.jobs, given.backend, given.scheduler)
    records = [Record.load(r.record(given.out)) for r in runs if r.record(given.out).exists()]
    print(_table(records))
    for run, reason in failed:
        print(f"failed: {run.problem}, {run.weights}, seed {run.seed}: {reason}", file=sys.stderr)
    print(f"\nRecords: {given.out}\nTables and figures: deepxde-balance report {given.out}")
    return 1 if failed else 0


def _compare_on_script(given: argparse.Namespace) -> int:
    if len(given.problem) > 1:
        raise ValueError(f"{' '.join(given.problem)}: give one script and no other problem.")
    if given.points != 1 or given.backend or given.scheduler:
        raise ValueError("--points, --backend and --scheduler are for the package's own problems.")
    arguments = _script_arguments(given)
    try:
        results = compare(Script(given.problem[0]), given.weights, **arguments)
    except AllRunsFailedError as error:
        print(f"deepxde-balance: {_one_line(error)}", file=sys.stderr)
        return 1
    print(results)
    print(f"\nRecords, table and figures: {given.out}")
    return 1 if results.failed else 0


def _tune(given: argparse.Namespace) -> int:
    if not is_script(given.problem):
        raise ValueError(f"{given.problem}: give your own problem, as my_script.py:build.")
    if bool(given.weights) == bool(given.strategy):
        raise ValueError("give either --weights or --strategy with --options.")
    if bool(given.strategy) != bool(given.options):
        raise ValueError("give --strategy and --options together.")
    ranges = given.weights or given.options
    by_name = dict(ranges)
    if len(by_name) < len(ranges):
        raise ValueError("a range is given twice: give each once.")
    space: Space = (given.strategy, by_name) if given.strategy else by_name
    arguments = _script_arguments(given)
    script = Script(given.problem)
    try:
        results = tune(script, space, given.calls, random_state=given.random_state, **arguments)
    except AllRunsFailedError as error:
        print(f"deepxde-balance: {_one_line(error)}", file=sys.stderr)
        return 1
    print(results)
    print(f"\nRecords, table and figure: {given.out}")
    return 1 if any(call.failed for call in results.calls) else 0


def _script_arguments(given: argparse.Namespace) -> dict[str, Any]:
    """The arguments that `compare` and `tune` share; the folder is made."""
    settings: dict[str, Any] = {"iterations": 5000, **_settings(given)}
    for name in settings:
        if name not in _SCRIPT_SETTINGS:
            raise unknown_name("setting of a script", name, _SCRIPT_SETTINGS)
    _writable(given.out)
    return {
        **settings,
        **({"optimizer": given.optimizer} if given.optimizer else {}),
        "seeds": given.seeds,
        "jobs": given.jobs,
        "out": given.out,
        "gradient_engine": given.engine,
        "device": given.device,
        "threads": given.threads,
        "checkpoint_every": given.checkpoint_every,
    }


def _report(given: argparse.Namespace) -> int:
    from .report import report

    if not read(given.folder):
        others = any(Path(given.folder).glob("*/seed*.json"))
        raise ValueError(
            f"{given.folder}: there is no record of a benchmark problem in it"
            + (", but some of a script; `compare` made their table and figures." if others else ".")
        )
    print(f"Report: {report(given.folder, given.out)}")
    return 0


def _table(records: list[Record]) -> str:
    lines = [
        "| problem | strategy | seed | L2RE | MAE | s/iteration |",
        "|---|---|---|---|---|---|",
    ]
    for r in records:
        errors = f"{r.final['L2RE']:.3%} | {r.final['MAE']:.3%}"
        lines.append(
            f"| {r.problem} | {r.weights} | {r.seed} | {errors} | {r.seconds_per_iteration:.4f} |"
        )
    return "\n".join(lines)


def _settings(given: argparse.Namespace) -> dict[str, Any]:
    pairs = [*given.set]
    if given.iterations is not None:
        pairs.append(("iterations", given.iterations))
    settings = dict(pairs)
    for name in settings:
        if sum(name == other for other, _ in pairs) > 1:
            raise ValueError(f"{name} is given twice: give it once.")
    return settings


def _writable(folder: Path) -> None:
    """Makes the folder, and raises an OSError if no file can be written to it."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    read_value = _value(value)
    if read_value == value:  # it stayed a text
        raise argparse.ArgumentTypeError(f"{text!r}: write setting=number, e.g. lr=0.01")
    return name, read_value


def _value(text: str) -> Any:
    for read_value in (json.loads, float):  # a number may be written as .1, which is not JSON
        try:
            return read_value(text)
        except ValueError:
            pass
    return text


def _range(text: str) -> tuple[str, Any]:
    """A dimension of a search: its name, and its two ends or a list of its choices."""
    name, equals, values = text.partition("=")
    for separator, kind in ((":", tuple), (",", list)):
        if name and equals and separator in values:
            return name, kind(_value(one) for one in values.split(separator))
    raise argparse.ArgumentTypeError(
        f"{text!r}: write name=low:high, e.g. bc0=1:1e4, or name=choice,choice"
    )


def _number(kind: type, low: float) -> Any:
    """The `type` of an argparse argument: a number of at least `low`."""

    def number(text: str) -> Any:
        value = kind(text)
        if not value >= low:
            raise argparse.ArgumentTypeError(f"{text} is not allowed: at least {low}")
        return value

    number.__name__ = kind.__name__
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deepxde-balance", description="Benchmark problems under adaptive loss weights."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="the problems and the strategies")
    listing.set_defaults(command=_list)

    single = commands.add_parser("train", help="train one problem with one strategy")
    single.add_argument("problem", metavar="PROBLEM")
    single.add_argument("--weights", default="auto", metavar="NAME")
    single.add_argument("--seed", type=_number(int, 0), default=0)
    single.set_defaults(command=_train)

    several = commands.add_parser("compare", help="train problems with several strategies")
    several.add_argument(
        "problem",
        nargs="+",
        metavar="PROBLEM",
        help="problems, or: all; or one's own problem, as my_script.py:build",
    )
    several.add_argument("--weights", nargs="+", action="extend", required=True, metavar="NAME")
    several.add_argument("--seeds", type=_number(int, 1), default=1, help="seeds 0, 1, ...")
    several.add_argument("--jobs", type=int, default=1, help="runs at a time; -1: all cores")
    several.add_argument("--backend", help="of joblib, e.g. dask")
    several.add_argument("--scheduler", metavar="ADDRESS", help="of Dask")
    several.set_defaults(command=_compare)

    tuning = commands.add_parser("tune", help="search weights or options for one's own problem")
    tuning.add_argument("problem", metavar="PROBLEM", help="as my_script.py:build")
    tuning.add_argument(
        "--weights", nargs="+", action="extend", type=_range, default=[], metavar="GROUP=LOW:HIGH",
        help="fixed weights, e.g. bc0=1:1e4 ic1=1:1e4",
    )  # fmt: skip
    tuning.add_argument("--strategy", metavar="NAME", help="the strategy to search options of")
    tuning.add_argument(
        "--options", nargs="+", action="extend", type=_range, default=[], metavar="OPTION=LOW:HIGH",
        help="e.g. beta=0.5:0.999 update_every=1:100, or a list of choices: p=1,2",
    )  # fmt: skip
    tuning.add_argument("--calls", type=_number(int, 1), default=20, help="points to train")
    tuning.add_argument("--seeds", type=_number(int, 1), default=1, help="seeds 0, 1, ...")
    tuning.add_argument("--jobs", type=int, default=1, help="runs at a time; -1: all cores")
    tuning.add_argument("--random-state", type=_number(int, 0), default=0, help="of the search")
    tuning.set_defaults(command=_tune)

    for command in (several, tuning):
        command.add_argument(
            "--optimizer", choices=OPTIMIZERS, help="of a script; adam by default, with lr=0.001"
        )
    for command in (single, several):
        command.add_argument(
            "--points", type=float, default=1.0, help="factor on the paper's numbers of points"
        )
    of_problem, of_script = "e.g. update_every=10 width=20", "lr=0.01 lbfgs_iterations=1000"
    for command, folder, iterations, settings in (
        (single, "runs", "the paper's", f"of the problem, {of_problem}"),
        (several, "runs", "the paper's, or 5000 of a script",
         f"of the problem, {of_problem}; of a script only {of_script}"),
        (tuning, "tuned", "5000", of_script),
    ):  # fmt: skip
        command.add_argument(
            "--iterations", type=int, help=f"before L-BFGS; by default {iterations}"
        )
        command.add_argument(
            "--set", nargs="+", action="extend", type=_setting, default=[], metavar="SETTING=VALUE",
            help=f"other settings: {settings}",
        )  # fmt: skip
        command.add_argument("--out", type=Path, default=Path(folder), help="folder of the records")
        command.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1")
        command.add_argument(
            "--engine", choices=get_args(EngineName), help="how gradients are computed"
        )
        command.add_argument("--threads", type=_number(int, 1), help="CPU threads of a run")
        command.add_argument(
            "--checkpoint-every", type=_number(float, 0), default=60.0, metavar="SECONDS"
        )

    reporting = commands.add_parser("report", help="tables and figures from a folder of records")
    reporting.add_argument("folder", type=Path, metavar="DIR")
    reporting.add_argument("--out", type=Path, help="where to; by default DIR/report")
    reporting.set_defaults(command=_report)
    return parser


if __name__ == "__main__":
    sys.exit(main())
