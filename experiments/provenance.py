"""Where a run comes from: package versions, the commit, the machine, the exact command."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

PACKAGES: Final = (
    "deft-hand",
    "numpy",
    "scipy",
    "mujoco",
    "torch",
    "gymnasium",
    "cma",
    "cmaes",
    "nevergrad",
    "botorch",
)


def commit() -> str:
    """The git commit of the checkout that this package runs from, with ``+`` if files differ; empty outside of one."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return ""
    try:
        head = subprocess.run(["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10)
        dirty = subprocess.run(
            ["git", "-C", str(here), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "") if head.returncode == 0 else ""


def versions() -> dict[str, str]:
    """Versions of the packages that can change a result; absent ones are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def command() -> str:
    """The command as it was typed, quoted for a shell."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def collect(**more: Any) -> dict[str, Any]:
    """What is stored with every run; ``more`` is added to it."""
    return {
        "command": command(),
        "commit": commit(),
        "versions": versions(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        **more,
    }
