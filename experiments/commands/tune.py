"""``deft tune``: one fine-tuning run and its evaluation, into a folder of its own."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any

import tyro

from deft_env import paper
from deft_env.episode import SPLITS
from deft_experiments import config as cfg
from deft_experiments import evaluate, figures, images, operator_desk, provenance, summary, sweep, terminal
from deft_experiments.commands import report
from deft_experiments.console import ConsoleOperator
from deft_experiments.errors import DeftError, UsageError
from deft_experiments.lockstep import Lockstep
from deft_experiments.parts import Parts, check_names, make_parts
from deft_experiments.run import Run
from deft_experiments.store import FILE_NAME, Store


@dataclass(frozen=True)
class Args:
    """Runs Algorithm 1 once: 10 warm-up and 20 CEM episodes, a policy distilled from the ten best, an evaluation.

    Leaves a folder: the store, the policies, the learning curve (PNG), report.html, a film of the best episode.

    Attributes:
        task: such as PickCup; `deft list tasks`.
        agent: SEARCH+POLICY, a bare search, or deft (= cem+cvae); `deft list agents`.
        reward: what the agent is told; `deft list rewards`.
        prior: what fine-tuning starts from; `deft list priors`.
        rig: what executes grasps; `deft list rigs`.
        encoder: image features that the policy sees; none: it sees the prior's grasp alone.
        rig_config: options of the rig, NAME=VALUE or a JSON file; for the real rig its YAML, TOML or JSON file.
        agent_config: options of the agent, NAME=VALUE or a JSON file.
        prior_config: options of the prior, likewise.
        reward_config: options of the reward, likewise.
        weights: NAME=PATH of weights that a part needs.
        seed: of scenes and agent.
        episodes: fine-tuning episodes.
        eval_trials: evaluation episodes a split; default 200 simulated, 10 on a real rig.
        eval_at: also evaluate the policies distilled after these episodes, such as 10 20.
        no_eval: leave the evaluation out.
        keep_frames: pictures to keep: all (always, on a real rig), elites or none.
        out: folder to make; default runs/<time>-<task>-<agent>-s<seed>.
        resume: go on with the run in this folder; other options but those of the evaluation are taken from there.
        console: ask the operator on a web page instead of where the rig would ask.
        console_port: of that page, on this machine only; 0 takes a free one.
        json: print the result as JSON on standard output, progress on standard error.
    """

    task: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TASK")] = ""
    agent: str = "deft"
    reward: str = "oracle"
    prior: str = "simulated"
    rig: str = "simulated"
    encoder: str = "none"
    rig_config: tuple[str, ...] = ()
    agent_config: tuple[str, ...] = ()
    prior_config: tuple[str, ...] = ()
    reward_config: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    seed: int = 0
    episodes: int = paper.EPISODES
    eval_trials: int | None = None
    eval_at: tuple[int, ...] = ()
    no_eval: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    keep_frames: images.Keep = "elites"
    out: Path | None = None
    resume: Path | None = None
    console: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    console_port: int = 8000
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


def configuration(args: Args) -> cfg.RunConfig:
    """The run that the arguments ask for.

    Raises:
        UsageError: if the task is missing or an option cannot be read.
    """
    if not args.task:
        raise UsageError("TASK is missing, for example `deft tune PickCup`; `deft list tasks` shows them")
    config = cfg.RunConfig(
        task=args.task,
        agent=args.agent,
        prior=args.prior,
        reward=args.reward,
        rig=args.rig,
        encoder=args.encoder,
        seed=args.seed,
        episodes=args.episodes,
        agent_options=cfg.parse_options(args.agent_config, "--agent-config"),
        prior_options=cfg.parse_options(args.prior_config, "--prior-config"),
        reward_options=cfg.parse_options(args.reward_config, "--reward-config"),
        rig_options=cfg.parse_options(args.rig_config, "--rig-config"),
        weights={name: cfg.file_hash(path) for name, path in cfg.parse_weights(args.weights).items()},
    )
    return cfg.with_shipped(config)


def stored_configuration(folder: Path, args: Args) -> cfg.RunConfig:
    """The run that lies in a folder.

    Raises:
        StoreError: if there is no store, or none that can be read.
        UsageError: if it holds no single run, one whose parts are not here, or another task or other weights than the
            arguments say.
    """
    with Store(folder, "r") as store:
        runs = store.runs()
        if len(runs) != 1:
            raise UsageError(f"--resume {folder}: expected the folder of one `deft tune`, found {len(runs)} runs in it")
        config = cfg.RunConfig.from_dict(store.run(runs[0])[0])
    try:
        check_names(config)
    except UsageError as error:
        raise UsageError(f"--resume {folder}: {error}") from None
    if args.task and args.task != config.task:
        raise UsageError(f"--resume {folder}: it is a run of {config.task}, not of {args.task}; leave TASK out")
    weights = {name: cfg.file_hash(path) for name, path in cfg.parse_weights(args.weights).items()}
    now = cfg.with_shipped(dataclasses.replace(config, weights=weights)).weights
    if now != config.weights:
        other = [name for name in {**config.weights, **now} if now.get(name) != config.weights.get(name)]
        raise UsageError(
            f"--resume {folder}: its weights were others: {', '.join(other)}; give the run's own --weights again, or "
            "resume with the version that shipped them"
        )
    return config


def _new_folder(args: Args, config: cfg.RunConfig) -> Path:
    if args.out is not None:
        if (args.out / FILE_NAME).exists():
            raise UsageError(f"--out {args.out}: there is a store already; use --resume {args.out}, or another folder")
        return args.out
    return sweep.new_folder(config.run_id.rpartition("-")[0])


def _check(args: Args, config: cfg.RunConfig) -> None:
    if args.eval_trials is not None and args.eval_trials < 1:
        raise UsageError(f"--eval-trials: expected at least 1, got {args.eval_trials}; --no-eval leaves it out")
    bad = [n for n in args.eval_at if not 1 <= n <= config.episodes]
    if bad:
        raise UsageError(f"--eval-at: expected numbers in 1 … {config.episodes}, got {bad[0]}")


def run(args: Args) -> int:
    """Runs, evaluates, reports."""
    started = time.time()
    config = stored_configuration(args.resume, args) if args.resume else configuration(args)
    _check(args, config)
    weights = cfg.parse_weights(args.weights)
    folder = Path(args.resume) if args.resume else None
    with make_parts(config, weights) as parts:
        folder = folder or _new_folder(args, config)
        durable = parts.rig.real or parts.reward.needs_operator
        with Store(folder, "w", durable=durable) as store, terminal.Progress(bars=not durable) as progress:
            try:
                with operator_desk.console(parts, args.console_port if args.console else None) as console:
                    result = _tune(args, config, parts, store, folder, progress, console)
            except KeyboardInterrupt:
                progress.stop()
                print(f"interrupted, nothing is lost; go on with: deft tune --resume {folder}", file=sys.stderr)
                return 130
            except DeftError:
                print(f"everything so far is in {folder}; go on with: deft tune --resume {folder}", file=sys.stderr)
                raise
    result["wall_clock"] = {"seconds": round(time.time() - started, 3), "folder": str(folder)}
    if args.json:
        print(json.dumps(result, indent=1, sort_keys=True))
    else:
        terminal.show_run(result, folder)
    return 0


def _tune(
    args: Args,
    config: cfg.RunConfig,
    parts: Parts,
    store: Store,
    folder: Path,
    progress: terminal.Progress,
    console: ConsoleOperator | None = None,
) -> dict[str, Any]:
    low, high = parts.reward.range
    where = provenance.collect(stand_ins=list(parts.stand_ins), demonstration=parts.task.demonstration.hash)
    run = Run(
        config,
        functools.partial(parts.agent, config),
        store,
        reward_range=(low, high),
        higher_is_better=parts.reward.higher_is_better,
        provenance=where,
    )
    progress.say(f"{config.task}, agent {config.agent}, rig {config.rig}, seed {config.seed} -> {folder}")
    for word in parts.stand_ins:
        progress.say(f"stand-in: {word}")
    keeper = images.FrameKeeper(folder / "frames", "all" if parts.rig.real else args.keep_frames)
    after = sorted({*args.eval_at, *(n for n in cfg.SNAPSHOTS if n <= config.episodes), config.episodes})
    snapshots = Snapshots(folder / "policies", after)
    desk = None
    if console is not None:
        progress.say(f"the operator's page: {console.url}")
        desk = operator_desk.Desk(run, console, keeper) if parts.reward.needs_operator else None
    loop = Lockstep([run], parts, store, inbox=desk, keeper=desk or keeper, before_ask=snapshots)
    with progress.bar("fine-tuning", config.episodes, sum(e.counts for e in run.episodes)) as advance:
        shown = [sum(e.counts for e in run.episodes)]

        def show(_: int) -> None:
            if run.mishap:
                progress.say(f"this attempt does not count, the episode runs again: {run.mishap}")
            counted = sum(e.counts for e in run.episodes)
            last = next((e for e in reversed(run.episodes) if e.rewards), None)
            advance(counted - shown[0], "" if last is None else f"reward {last.rewards[-1]:.2f}")
            shown[0] = counted

        loop.run_to_end(show)
    snapshots(run)
    if not args.no_eval:
        trials = args.eval_trials or (cfg.REAL_EVAL_TRIALS if parts.rig.real else cfg.SIMULATED_EVAL_TRIALS)
        _evaluate(args, run, parts, store, trials, progress, keeper if parts.rig.real else None)
    return _leave(run, parts, store, folder, progress)


class Snapshots:
    """Distils and saves a policy after given numbers of told episodes, as soon as those are told."""

    def __init__(self, folder: Path, after: list[int]) -> None:
        """Remembers where and when."""
        self.folder, self.after = folder, after

    def __call__(self, run: Run) -> None:
        """Saves the policy if its time has come; a file that is there stays."""
        from deft_agents import save_policy

        told = sum(e.told is not None for e in run.episodes)
        path = self.folder / f"after-{told:03d}.safetensors"
        if told in self.after and not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            save_policy(run.agent.freeze(), path)


def candidates(run: Run, at: tuple[int, ...] = ()) -> list[evaluate.Candidate]:
    """What is evaluated of a finished run: the prior alone, the elite mean, the agent's policy; and earlier ones."""
    own = run.agent.name.partition("+")[2]
    job = sweep.Job(run.config, tuple(dict.fromkeys(("elite-mean", own))))
    return sweep.candidates(run, job, sorted({*at, run.config.episodes}))


def _evaluate(
    args: Args,
    run: Run,
    parts: Parts,
    store: Store,
    trials: int,
    progress: terminal.Progress,
    keeper: images.FrameKeeper | None,
) -> None:
    todo = candidates(run, args.eval_at)
    done = sum(k < trials for _, _, _, k in run.evaluations.done)
    with progress.bar("evaluation", len(todo) * trials * len(SPLITS), done) as advance:
        evaluate.evaluate(
            todo,
            parts,
            store,
            trials=trials,
            every_event=parts.rig.real or parts.reward.needs_operator,
            keeper=keeper,
            progress=lambda n: advance(n, ""),
        )


def _leave(run: Run, parts: Parts, store: Store, folder: Path, progress: terminal.Progress) -> dict[str, Any]:
    """Writes curve, films and report beside the store."""
    result = summary.of_run(store, run.id)
    curve = figures.learning_curve(result["training"], terminal.title(result))
    images.write_atomically(folder / "learning_curve.png", lambda file: file.write(curve))
    best = result["training"]["best_episode"]
    for name, k in {"first": 0, "failed": _failed(result), "best": best}.items():
        if k is None or parts.rig.real:
            continue
        progress.say(f"film of the {name} episode ({k + 1})")
        frames = images.film(run, k, parts)
        if frames:
            picture = images.png(images.strip(frames))
            path = report.strip_path(folder, name, k)
            images.write_atomically(path, functools.partial(_put, picture))
        if frames and name == "best":
            images.save_gif(folder / "best.gif", frames)
    report.write(folder, folder / "report.html", store)
    return result


def _put(data: bytes, file: IO[bytes]) -> int:
    return file.write(data)


def _failed(result: dict[str, Any]) -> int | None:
    successes = result["training"]["successes"]
    return next((k for k in range(len(successes) - 1, 0, -1) if successes[k] is False), None)
