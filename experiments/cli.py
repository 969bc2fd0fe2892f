"""The ``deft`` command: picks the sub-command and imports only that one."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

COMMANDS: Final = {
    "list": ("deft_experiments.commands.list_parts", "tasks, agents, rewards, priors, rigs: what is installed"),
    "doctor": ("deft_experiments.commands.doctor", "what works on this machine, and what mends each gap"),
    "tune": ("deft_experiments.commands.tune", "one fine-tuning run (Algorithm 1) and its evaluation"),
    "bench": ("deft_experiments.commands.bench", "agents x tasks x seeds, in lockstep batches"),
    "table": ("deft_experiments.commands.table", "the paper's tables 2 and 3, ours beside the paper's"),
    "figure": ("deft_experiments.commands.figure", "the paper's figures 6 and 7, the paper's points beside ours"),
    "compare": ("deft_experiments.commands.compare", "two agents on the same scenes, seed by seed"),
    "leaderboard": ("deft_experiments.commands.leaderboard", "agents of stored sweeps, ranked, with cost and command"),
    "export": ("deft_experiments.commands.export", "rows as CSV, Parquet or a LeRobot dataset; scalars for loggers"),
    "results": ("deft_experiments.commands.results", "tables, figures and benchmark into one results page"),
    "gallery": ("deft_experiments.commands.gallery", "pictures of every task"),
    "report": ("deft_experiments.commands.report", "one self-contained HTML page from a folder of runs"),
    "mock-rig": ("deft_experiments.commands.mock_rig", "mocks of the whole rig, for a rehearsal without hardware"),
    "extract": ("deft_experiments.commands.extract", "a dataset of human video to label shards"),
    "demo-to-trajectory": ("deft_experiments.commands.demo_to_trajectory", "a clip to trajectory and goal image"),
    "train": ("deft_experiments.commands.train", "train the affordance network on label shards"),
    "affordance-chain": ("deft_experiments.commands.affordance_chain", "synthetic videos to weights, in one command"),
    "affordance-check": ("deft_experiments.commands.affordance_check", "zero-shot success of priors, with intervals"),
    "console": ("deft_experiments.commands.console", "the operator's web page for a stored run"),
    "rescore": ("deft_experiments.commands.rescore", "another reward on the kept pictures of a run"),
    "calibrate": ("deft_experiments.commands.calibrate", "camera or hand of the real rig"),
    "dry-run": ("deft_experiments.commands.dry_run", "what the real rig would do, checked and drawn; nothing moves"),
}
"""Sub-command -> module with a dataclass ``Args`` and a function ``run(Args) -> exit code``, and one line of help."""

EXIT_OK: Final = 0
EXIT_ERROR: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130


def _help() -> str:
    lines = [
        "usage: deft COMMAND [OPTIONS]",
        "",
        "DEFT: dexterous fine-tuning of a grasp prior in 30 episodes.",
        "",
        "commands (deft COMMAND --help says more):",
        *(f"  {name:<19} {summary}" for name, (_, summary) in COMMANDS.items()),
        "",
        "exit codes: 0 done; 1 something failed; 2 bad arguments; 130 interrupted, resumable.",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a sub-command and returns its exit code.

    Errors that a user can mend are printed as one message; anything else is a bug and keeps its traceback.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return EXIT_OK
    if words[0] in ("--version", "-V"):
        from importlib.metadata import version

        print(f"deft {version('deft-hand')}")
        return EXIT_OK
    if words[0] not in COMMANDS:
        import difflib

        near = difflib.get_close_matches(words[0], COMMANDS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        print(f"deft: unknown command {words[0]!r}; there are: {', '.join(COMMANDS)}.{hint}", file=sys.stderr)
        return EXIT_USAGE
    return _run(words[0], words[1:])


def _run(name: str, words: Sequence[str]) -> int:
    from deft_experiments.errors import DeftError
    from deft_experiments.parts import single_thread

    single_thread()
    module = importlib.import_module(COMMANDS[name][0])
    import tyro

    try:
        args = tyro.cli(module.Args, prog=f"deft {name}", args=list(words))
        return int(module.run(args))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    except DeftError as error:
        print(f"deft {name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"deft {name}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away (`deft list | head`): not an error, but Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK


def entry() -> None:
    """For ``python -m deft_experiments.cli``."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
