"""Agents by name: ``search+policy``, the alias ``deft``, families such as ``ng:DE``, and third parties' own parts."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from deft_agents import built_in
from deft_agents.compose import SearchPolicyAgent
from deft_env.registry import Entry, Registry

searches: Final = Registry("search", "deft.searches")
"""Every search; a factory takes keyword-only ``seed``, ``budget`` (and ``variant`` for ``family:variant``), options.

A class that passes ``**options`` on to its base class has that one's options too.
"""
policies: Final = Registry("policy", "deft.policies")
"""Every policy fitter; a factory takes keyword-only ``seed`` and its options, and has ``restore(state)``."""

ALIASES: Final = {"deft": "cem+cvae"}
"""Whole agents by another name: the paper's method."""
DEFAULT_POLICY: Final = "recommend"
_EXTRA_MODULES: Final = {"nevergrad": "nevergrad", "sb3": "stable_baselines3", "bo": "botorch"}
_RESERVED: Final = ("seed", "budget", "variant")


def register_search(
    name: str,
    factory: str | Callable[..., Any],
    *,
    summary: str = "",
    extra: str = "",
    slow: bool = False,
    family: bool = False,
) -> None:
    """Adds a search under a name.

    Args:
        name: what users type; for ``a:b`` a factory that has a parameter ``variant`` gets ``"b"``.
        factory: a ``Search`` subclass or function, or ``"module:attribute"``, which is imported only when needed.
        summary: one line for ``deft list agents``.
        extra: the optional extra of this project that it needs.
        slow: whether an ask or a tell costs more than a few milliseconds.
        family: whether it answers to ``name:anything``.

    Raises:
        ValueError: if the name is taken or cannot be typed as part of ``search+policy``.
    """
    _check_name(name)
    searches.register(Entry(name, factory, summary=summary, extra=extra, slow=slow), family=family)


def register_policy(
    name: str, factory: str | Callable[..., Any], *, summary: str = "", extra: str = "", slow: bool = False
) -> None:
    """Adds a policy fitter under a name; see ``register_search``."""
    _check_name(name)
    policies.register(Entry(name, factory, summary=summary, extra=extra, slow=slow))


def _check_name(name: str) -> None:
    if not name or "+" in name or name.split() != [name]:
        raise ValueError(f"name: expected a word without '+' and spaces, got {name!r}")
    if name in ALIASES:
        raise ValueError(f"name: {name!r} is an alias of {ALIASES[name]!r}; choose another")


def split_name(name: str) -> tuple[str, str]:
    """``"deft"`` -> ``("cem", "cvae")``, ``"cem"`` -> ``("cem", "recommend")``; names are not looked up.

    Raises:
        ValueError: if there is more than one ``+`` or an empty part.
    """
    full = ALIASES.get(name, name)
    parts = full.split("+")
    if len(parts) == 1:
        parts.append(DEFAULT_POLICY)
    if len(parts) != 2 or not all(parts):
        raise ValueError(f"agent: expected 'search' or 'search+policy', such as 'cem+cvae', got {name!r}")
    return parts[0], parts[1]


def make_agent(
    name: str, *, seed: int, budget: int, reward_range: tuple[float, float] = (0.0, 1.0), **config: Any
) -> SearchPolicyAgent:
    """Makes an agent.

    Args:
        name: ``search+policy``, a bare search (then ``+recommend``), or ``deft`` (the paper's ``cem+cvae``).
        seed: all randomness of the agent follows from it.
        budget: planned number of episodes.
        reward_range: (low, high) of the rewards that it will be told.
        **config: options of the search and of the policy by name; a name that both know goes to both.

    Returns:
        A fresh agent. Its ``name`` is the full one, ``"cem+cvae"`` for ``"deft"``.

    Raises:
        KeyError: for an unknown search or policy; the message lists the known ones.
        ImportError: if an optional library is absent; the message names the extra.
        ValueError: for an option that neither knows, or a value that one of them refuses.
    """
    search_name, policy_name = split_name(name)
    make_search, make_policy = searches.load(search_name), policies.load(policy_name)
    for_search = {k: v for k, v in config.items() if k in _options(make_search)}
    for_policy = {k: v for k, v in config.items() if k in _options(make_policy)}
    unknown = sorted(set(config) - set(for_search) - set(for_policy))
    if unknown:
        raise ValueError(
            f"config: unknown option {unknown[0]!r} for agent {name!r}; the search {search_name!r} takes "
            f"{_options(make_search) or 'none'}, the policy {policy_name!r} {_options(make_policy) or 'none'}"
        )
    if ":" in search_name and "variant" in inspect.signature(make_search).parameters:
        for_search["variant"] = search_name.partition(":")[2]
    search = make_search(seed=seed, budget=budget, **for_search)
    policy = make_policy(seed=seed, **for_policy)
    search.name, policy.name = search_name, policy_name
    return SearchPolicyAgent(search, policy, reward_range=reward_range, config=config)


def _options(factory: Callable[..., Any]) -> list[str]:
    """Names of the keyword-only parameters, for a class with ``**options`` also those of the classes it is made of."""
    names: dict[str, None] = {}
    for one in factory.__mro__ if isinstance(factory, type) else (factory,):
        parameters = inspect.signature(one).parameters.values()
        names |= dict.fromkeys(p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in _RESERVED)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return list(names)


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """One row of ``deft list agents``.

    Attributes:
        name: what users type.
        kind: every search combines with every policy; an alias is a combination.
        summary: one line.
        extra: the optional extra that it needs; empty when none.
        slow: whether it costs more than a few milliseconds an episode (a policy: more than half a second a fit).
        available: whether what it needs is installed here (looked up, not imported).
    """

    name: str
    kind: Literal["alias", "search", "policy"]
    summary: str
    extra: str
    slow: bool
    available: bool


def list_agents() -> list[AgentInfo]:
    """Aliases, searches and policies with what they need; imports none of them."""
    rows = [AgentInfo(name, "alias", full, "", False, True) for name, full in ALIASES.items()]
    for kind, registry in (("search", searches), ("policy", policies)):
        for name in registry.names():
            entry = registry.entry(name)
            rows.append(
                AgentInfo(
                    name=name,
                    kind="search" if kind == "search" else "policy",
                    summary=entry.summary,
                    extra=entry.extra,
                    slow=entry.slow,
                    available=_installed(entry.extra),
                )
            )
    return rows


def _installed(extra: str) -> bool:
    module = _EXTRA_MODULES.get(extra)
    return module is None or importlib.util.find_spec(module) is not None


for _entry in built_in.SEARCHES:
    searches.register(_entry)
for _entry in built_in.FAMILIES:
    searches.register(_entry, family=True)
for _entry in built_in.POLICIES:
    policies.register(_entry)
