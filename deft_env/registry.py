"""Named parts: built-ins as ``module:attribute`` strings (nothing heavy is imported), others by entry point."""

from __future__ import annotations

import difflib
import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered part.

    Attributes:
        name: what users type.
        target: ``module:attribute`` or the object itself.
        summary: one line for ``deft list``.
        extra: the optional extra (``pip install deft-hand[extra]``) that it needs; empty when none.
        stand_in: whether it stands in for something real; named as such in every output.
        slow: whether it costs far more than an episode of simulated physics.
        shipped: weights that it reads unless others are given: their name, and the file as ``package:file``.
    """

    name: str
    target: str | Callable[..., Any]
    summary: str = ""
    extra: str = ""
    stand_in: bool = False
    slow: bool = False
    shipped: tuple[tuple[str, str], ...] = ()

    @property
    def where(self) -> str:
        """``module:attribute`` of the part, whether it was registered by that or as an object."""
        if isinstance(self.target, str):
            return self.target
        return f"{self.target.__module__}:{getattr(self.target, '__qualname__', repr(self.target))}"

    def load(self) -> Callable[..., Any]:
        """Imports and returns the part.

        Raises:
            ImportError: if an optional library is absent (the message names the extra), or if there is nothing to call
                at ``target``.
        """
        if not isinstance(self.target, str):
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            part: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            if self.extra and isinstance(error, ImportError):
                raise ImportError(
                    f"{self.name!r} needs the extra {self.extra!r}: pip install 'deft-hand[{self.extra}]' ({error})"
                ) from error
            raise ImportError(
                f"{self.name!r} is registered as {self.target!r}, which cannot be imported: {error}"
            ) from error
        if not callable(part):
            raise ImportError(
                f"{self.name!r} is registered as {self.target!r}: expected a class or function, got {part!r}"
            )
        return part


class Registry:
    """A set of named parts of one kind, extended by third parties through the entry point group ``deft.<kind>s``."""

    def __init__(self, kind: str, group: str) -> None:
        """Makes an empty registry; ``kind`` is the word used in messages, ``group`` the entry point group."""
        self.kind, self.group = kind, group
        self._entries: dict[str, Entry] = {}
        self._families: dict[str, Entry] = {}
        self._loaded = False

    def register(self, entry: Entry, *, family: bool = False) -> None:
        """Adds a part; a family answers to ``<name>:<anything>``.

        Raises:
            ValueError: if the name is taken.
        """
        book = self._families if family else self._entries
        if entry.name in book:
            raise ValueError(f"{self.kind} {entry.name!r} is already registered")
        book[entry.name] = entry

    def _load_entry_points(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        for point in entry_points(group=self.group):
            known = self._entries.setdefault(point.name, Entry(point.name, point.value, summary=f"from {point.module}"))
            # The same package may be found twice (installed, and on the path); another part of that name is a mistake.
            if known.where != point.value:
                warnings.warn(
                    f"{self.kind} {point.name!r} ({point.value}) is left out: the name belongs to {known.where}; "
                    f"choose another name in the entry point group {self.group!r}",
                    stacklevel=3,
                )

    def names(self) -> list[str]:
        """Every name, sorted; families are listed as their curated members only."""
        self._load_entry_points()
        return sorted(self._entries)

    def entry(self, name: str) -> Entry:
        """The entry of a name.

        Raises:
            KeyError: if nothing has this name; the message lists what there is and the nearest match.
        """
        self._load_entry_points()
        if name in self._entries:
            return self._entries[name]
        family = name.partition(":")[0]
        if ":" in name and family in self._families:
            return self._families[family]
        near = difflib.get_close_matches(name, self._entries, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UnknownNameError(f"unknown {self.kind} {name!r}; there are: {', '.join(self.names())}.{hint}")

    def load(self, name: str) -> Callable[..., Any]:
        """Imports and returns the part of a name; see ``entry`` and ``Entry.load`` for errors."""
        return self.entry(name).load()


class UnknownNameError(KeyError):
    """A name that no registry entry has; its message lists what there is."""

    def __str__(self) -> str:
        return str(self.args[0])
