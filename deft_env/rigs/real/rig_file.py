"""Reads configurations: a YAML, TOML or JSON file into sections, a section into a dataclass; no key is ignored."""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

T = TypeVar("T")
MAX_FILE_BYTES: Final = 1_000_000
SUFFIXES: Final = (".yaml", ".yml", ".toml", ".json")


def load_file(path: str | Path) -> dict[str, Any]:
    """Reads a configuration file; paths in it are relative to its folder.

    Raises:
        ValueError: if it cannot be read, is too large, or holds no mapping.
        ImportError: for YAML without the extra ``hardware``.
    """
    file = Path(path)
    if file.suffix not in SUFFIXES:
        raise ValueError(f"rig configuration: expected a file ending in {', '.join(SUFFIXES)}, got {file}")
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"{file}: expected at most {MAX_FILE_BYTES} bytes")
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"rig configuration: cannot read {file}: {error}") from None
    try:
        data = _parse(file.suffix, text)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        raise ValueError(f"{file}: expected sections such as arm, hand, camera, got {type(data).__name__}")
    for section, key in (("hand", "motor_map"), ("camera", "calibration")):
        part = data.get(section)
        value = part.get(key) if isinstance(part, dict) else None
        if isinstance(part, dict) and isinstance(value, str) and value not in ("", "nominal"):
            part[key] = str((file.parent / value).resolve())
    return data


def _parse(suffix: str, text: str) -> Any:
    if suffix == ".json":
        return json.loads(text)
    if suffix == ".toml":
        import tomllib

        return tomllib.loads(text)
    try:
        import yaml
    except ImportError as error:
        raise ImportError(
            "a YAML file needs the extra 'hardware': pip install 'deft-hand[hardware]'; JSON and TOML need nothing"
        ) from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"no YAML: {error}") from None


def from_mapping(kind: type[T], data: Mapping[str, Any], where: str) -> T:
    """A dataclass from a mapping: unknown keys and wrong types are errors, lists become tuples.

    Raises:
        ValueError: naming ``where`` and the key.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"{where}: expected a mapping, got {type(data).__name__}")
    hints = typing.get_type_hints(kind)
    names = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key in data:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{where}: unknown key {key!r}; there are: {', '.join(names)}.{hint}")
    try:
        return kind(**{key: _value(value, hints[key], f"{where}.{key}") for key, value in data.items()})
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from None
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith(where) else f"{where}: {text}") from None


def _value(value: Any, hint: Any, where: str) -> Any:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        if value is None and type(None) in typing.get_args(hint):
            return None
        hint = next(h for h in typing.get_args(hint) if h is not type(None))
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float:
        if not number:
            raise ValueError(f"{where}: expected a number, got {value!r}")
        return float(value)
    if hint in (int, str, bool) and (not isinstance(value, hint) or (hint is int and isinstance(value, bool))):
        raise ValueError(f"{where}: expected {hint.__name__}, got {value!r}")
    return _tuples(value) if typing.get_origin(hint) is tuple else value


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value
