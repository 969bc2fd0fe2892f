"""``deft console``: the operator's page for a stored run: scores that are missing, and corrections."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from deft_env.rigs.operator import RunAborted
from deft_experiments import config as cfg
from deft_experiments import images
from deft_experiments.console import Action, ConsoleOperator
from deft_experiments.errors import UsageError
from deft_experiments.operator_desk import Desk
from deft_experiments.run import Run
from deft_experiments.store import Store


@dataclass(frozen=True)
class Args:
    """Opens the page for a run that is not running; `deft tune --console` opens it for one that is.

    A score of an episode that the agent was told already is kept for re-fitting and re-scoring; the search is not
    changed by it.

    Attributes:
        folder: the folder of one `deft tune` with the human reward.
        episodes: which to show, counted from 1; by default those that wait for a score.
        host: address to listen on; other machines need --allow-remote and --token.
        port: TCP port; 0 takes a free one.
        token: what opens the page; by default a random one.
        allow_remote: let other machines open the page (unencrypted).
    """

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    episodes: tuple[int, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    token: str = ""
    allow_remote: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


def run(args: Args) -> int:
    """Shows episode after episode until all are scored, or the person ends it."""
    from deft_agents import make_agent

    with Store(args.folder, "a") as store:
        runs = store.runs()
        if len(runs) != 1:
            raise UsageError(f"{args.folder}: expected the folder of one `deft tune`, found {len(runs)} runs in it")
        config = cfg.RunConfig.from_dict(store.run(runs[0])[0])
        if config.reward != "human":
            raise UsageError(f"{args.folder}: scored by {config.reward!r}; `deft rescore` compares another reward")
        stored = Run(
            config,
            lambda: make_agent(config.agent, seed=config.seed, budget=config.episodes, **config.agent_options),
            store,
        )
        chosen = [k - 1 for k in args.episodes] or [e.k for e in stored.unscored]
        bad = [k + 1 for k in chosen if not 0 <= k < len(stored.episodes) or not stored.episodes[k].counts]
        if bad:
            raise UsageError(f"--episodes: {bad[0]} was not executed; there are 1 … {len(stored.episodes)}")
        if not chosen:
            print("every executed episode is scored; --episodes shows some again", file=sys.stderr)
            return 0
        try:
            console = ConsoleOperator(
                host=args.host, port=args.port, token=args.token, allow_remote=args.allow_remote
            )  # fmt: skip
        except (OSError, ValueError, ImportError) as error:
            raise UsageError(str(error)) from error
        with console:
            print(f"the operator's page: {console.url}", file=sys.stderr, flush=True)
            desk = Desk(stored, console, images.FrameKeeper(args.folder / "frames", "all"))
            try:
                for k in chosen:
                    _one(stored, desk, console, k)
            except RunAborted:
                return 130
            console.show(phase="done", k=-1)
    return 0


def _one(stored: Run, desk: Desk, console: ConsoleOperator, k: int) -> None:
    desk.present(k, correcting=bool(stored.episodes[k].rewards))
    action: Action = console.take()
    try:
        if action.kind == "void":
            stored.void(k, action.reason)
        elif action.score is not None:
            stored.scored(k, action.score, success=action.success, source="human, console")
    except ValueError as error:
        action.finish(str(error))
        raise
    except BaseException:
        action.finish("it could not be stored; see the terminal")
        raise
    action.finish()
