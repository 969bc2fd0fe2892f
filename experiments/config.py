"""What one run is: the configuration that decides its episodes, and its id."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from deft_env import paper, registries
from deft_env.registry import UnknownNameError
from deft_experiments.errors import UsageError

SIMULATED_EVAL_TRIALS: Final = 200
REAL_EVAL_TRIALS: Final = paper.PAPER_TRIALS
SNAPSHOTS: Final = (10, 20, 30)
"""Episodes after which a policy is distilled (paper, figures 6 and 7)."""
LONGEST_RUN: Final = 100_000


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything that decides the episodes of one run; equal configurations give equal episodes.

    Attributes:
        task, agent, prior, reward, rig, encoder: registered names.
        seed: of the run; scenes and agent follow from it.
        episodes: N of Algorithm 1.
        agent_options, prior_options, reward_options, rig_options: options of the parts.
        weights: name -> SHA-256 of the file given by ``--weights``, or of the shipped one (``with_shipped``).

    Raises:
        UsageError: for a seed or a number of episodes out of range.
    """

    task: str
    agent: str = "deft"
    prior: str = "simulated"
    reward: str = "oracle"
    rig: str = "simulated"
    encoder: str = "none"
    seed: int = 0
    episodes: int = paper.EPISODES
    agent_options: Mapping[str, Any] = field(default_factory=dict)
    prior_options: Mapping[str, Any] = field(default_factory=dict)
    reward_options: Mapping[str, Any] = field(default_factory=dict)
    rig_options: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise UsageError(f"seed: expected an integer >= 0, got {self.seed!r}")
        if not isinstance(self.episodes, int) or not 1 <= self.episodes <= LONGEST_RUN:
            raise UsageError(f"episodes: expected an integer in 1 … {LONGEST_RUN}, got {self.episodes!r}")

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        out: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), default=_refuse))
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunConfig:
        """Reads what ``as_dict`` wrote.

        Raises:
            UsageError: for an unknown or a missing field.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise UsageError(
                f"run configuration: unknown field(s) {', '.join(unknown)}; known: {', '.join(sorted(known))}"
            )
        if "task" not in data:
            raise UsageError("run configuration: the field 'task' is missing")
        return cls(**data)

    @property
    def run_id(self) -> str:
        """Readable, and unique to this configuration: task, agent, seed and a hash of everything."""
        digest = hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()[:8]
        agent = self.agent.replace(":", "_").replace("+", "-")
        return f"{self.task}-{agent}-s{self.seed}-{digest}"


def _refuse(value: object) -> object:
    raise UsageError(f"options: expected numbers, words, lists and mappings, got {type(value).__name__}")


def parse_options(words: tuple[str, ...], flag: str) -> dict[str, Any]:
    """``("noise=0.1", "options.json")`` -> a mapping; values are JSON where they parse as JSON, else words.

    A YAML or TOML file of a rig stays a file: ``{"file": path}``, which the rig reads.

    Raises:
        UsageError: for a word that is neither ``NAME=VALUE`` nor a JSON file with an object in it.
    """
    out: dict[str, Any] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if sign and name.isidentifier():
            try:
                out[name] = json.loads(value)
            except json.JSONDecodeError:
                out[name] = value
            continue
        if flag == "--rig-config" and Path(word).suffix in (".yaml", ".yml", ".toml"):
            if not Path(word).is_file():
                raise UsageError(f"{flag}: there is no file {word}")
            # By name: addresses in it may change between two sessions of one run.
            out["file"] = str(Path(word).resolve())
            continue
        try:
            data = json.loads(Path(word).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{flag}: expected NAME=VALUE or a JSON file, got {word!r} ({error})") from None
        if not isinstance(data, dict):
            raise UsageError(f"{flag}: {word} must hold a JSON object, got {type(data).__name__}")
        out.update(data)
    return out


def parse_weights(words: tuple[str, ...]) -> dict[str, Path]:
    """``("r3m=r3m.safetensors",)`` -> {name: path}.

    Raises:
        UsageError: for a word that is not ``NAME=PATH``, or a file that is not there.
    """
    out: dict[str, Path] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name:
            raise UsageError(f"--weights: expected NAME=PATH, got {word!r}")
        out[name] = Path(value)
        if not out[name].is_file():
            raise UsageError(f"--weights: {name}: there is no file {value}")
    return out


def with_shipped(config: RunConfig) -> RunConfig:
    """The configuration with the hashes of the shipped weights that its parts read where none are given.

    A later version may ship others: without this its runs could not be told from those of this version.
    """
    shipped: dict[str, str] = {}
    for registry, name in (
        (registries.priors, config.prior),
        (registries.rewards, config.reward),
        (registries.encoders, config.encoder),
    ):
        with contextlib.suppress(UnknownNameError):  # which ``parts.check_names`` reports
            files = registries.shipped_weights(registry, name)
            shipped |= {weight: _shipped_hash(path) for weight, path in files.items()}
    return dataclasses.replace(config, weights={**shipped, **config.weights}) if shipped else config


@functools.cache
def _shipped_hash(path: Path) -> str:
    return file_hash(path)


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
