"""``deft doctor``: what works on this machine, and the one command that mends each gap."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import tyro

from deft_experiments.config import parse_weights

Verdict = Literal["ok", "missing", "broken"]
DEBIAN_GL: Final = "libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri libosmesa6"
GL_FIX: Final = f"sudo apt-get install -y {DEBIAN_GL}"
CONSOLE_PORT: Final = 8000
_RENDER: Final = """
import os, sys
os.environ["MUJOCO_GL"] = sys.argv[1]
import mujoco
model = mujoco.MjModel.from_xml_string("<mujoco><worldbody><light/><geom size='.1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 32, 32) as renderer:
    renderer.update_scene(data)
    assert renderer.render().any()
"""


@dataclass(frozen=True)
class Args:
    """Checks rendering, packages, weights, SDKs, GPU and ports; says what mends each gap.

    Attributes:
        json: print JSON.
        weights: NAME=PATH of weights to look at; the others are listed with what reads them.
        gl: check rendering alone, one line, exit code 1 if it does not work.
        rig_config: check the devices of this rig alone (its YAML, TOML or JSON file); nothing moves.
    """

    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    weights: tuple[str, ...] = ()
    gl: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    rig_config: Path | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor.

    Attributes:
        name: what was looked at.
        verdict: ok, missing (optional) or broken (needed).
        detail: what was found.
        fix: the one command that mends it; empty when ok.
    """

    name: str
    verdict: Verdict
    detail: str
    fix: str = ""


def gl() -> Finding:
    """Draws one picture in a child process (a crash of a driver must not take us along)."""
    tried = []
    wanted = os.environ.get("MUJOCO_GL", "")
    for backend in [wanted] if wanted in ("egl", "osmesa", "glfw") else ["egl", "osmesa"]:
        try:
            done = subprocess.run(
                [sys.executable, "-c", _RENDER, backend], capture_output=True, text=True, timeout=120, check=False
            )
        except subprocess.TimeoutExpired:
            tried.append(f"{backend}: no answer in 120 s")
            continue
        if done.returncode == 0:
            return Finding("rendering (GL)", "ok", f"MUJOCO_GL={backend} draws")
        lines = done.stderr.strip().splitlines()
        tried.append(f"{backend}: {lines[-1] if lines else f'exit code {done.returncode}'}")
    return Finding("rendering (GL)", "broken", "; ".join(tried), GL_FIX)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", "ok", version)


def _module(name: str, module: str, extra: str) -> Callable[[], Finding]:
    def look() -> Finding:
        if importlib.util.find_spec(module) is not None:
            return Finding(name, "ok", f"{module} is installed")
        return Finding(name, "missing", f"{module} is not installed", f"pip install -c constraints.txt -e '.[{extra}]'")

    return look


def _research(name: str) -> Callable[[], Finding]:
    def look() -> Finding:
        if importlib.util.find_spec(name) is not None:
            return Finding(name, "ok", "installed")
        return Finding(name, "missing", "optional reference implementation", "pip install --group research")

    return look


def _gpu() -> Finding:
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return Finding("GPU", "missing", "no NVIDIA driver; everything runs on the CPU", "")
    if done.returncode != 0:
        return Finding("GPU", "missing", "nvidia-smi finds no GPU; everything runs on the CPU", "")
    return Finding("GPU", "ok", done.stdout.strip().splitlines()[0])


def _port() -> Finding:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", CONSOLE_PORT))
        except OSError:
            return Finding("port", "missing", f"{CONSOLE_PORT} is taken; the console needs another: --port")
    return Finding("port", "ok", f"{CONSOLE_PORT} is free for the console")


def _serial() -> Finding:
    ports = sorted(str(p) for p in Path("/dev").glob("ttyUSB*")) + sorted(str(p) for p in Path("/dev").glob("ttyACM*"))
    if not ports:
        return Finding("hand (serial)", "missing", "no USB serial adapter is plugged in", "")
    closed = [p for p in ports if not os.access(p, os.R_OK | os.W_OK)]
    if closed:
        return Finding("hand (serial)", "broken", f"no access to {closed[0]}", "sudo usermod -aG dialout $USER")
    return Finding("hand (serial)", "ok", ", ".join(ports))


def _disk() -> Finding:
    import shutil

    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    if free_gb < 1.0:
        return Finding("disk", "broken", f"{free_gb:.2f} GB free here", "free some space")
    return Finding("disk", "ok", f"{free_gb:.0f} GB free here")


def weights(given: Mapping[str, Path]) -> list[Finding]:
    """One finding for each name of weights that some part reads (from the registries' one-line summaries)."""
    from deft_env import registries

    readers: dict[str, list[str]] = {}
    shipped: dict[str, Path] = {}
    for registry in (registries.priors, registries.rewards, registries.encoders):
        for name in registry.names():
            shipped |= registries.shipped_weights(registry, name)
            _, found, names = registry.entry(name).summary.partition("weights: ")
            for weight in names.split(", ") if found else ():
                readers.setdefault(weight.strip(), []).append(f"{registry.kind} {name}")
    out = []
    for name, parts in sorted(readers.items()):
        used = f"read by {', '.join(parts)}"
        if name in given:
            size_mb = given[name].stat().st_size / 1e6
            out.append(Finding(f"weights {name}", "ok", f"{given[name]}, {size_mb:.1f} MB; {used}"))
        elif name in shipped:
            out.append(Finding(f"weights {name}", "ok", f"{shipped[name].name} is shipped; {used}"))
        else:
            fix = f"get the file, then: --weights {name}=PATH"
            out.append(Finding(f"weights {name}", "missing", used, fix))
    return out


def checks() -> list[Callable[[], Finding]]:
    """Everything that is looked at, in order."""
    return [
        _python,
        gl,
        _module("physics", "mujoco", ""),
        _module("networks", "torch", ""),
        _disk,
        _gpu,
        _module("Nevergrad searches", "nevergrad", "nevergrad"),
        _module("Stable-Baselines3", "stable_baselines3", "sb3"),
        _module("BoTorch searches", "botorch", "bo"),
        _module("segmentation", "segment_anything", "vision"),
        _module("CLIP", "open_clip", "vision"),
        _module("xArm SDK", "xarm", "hardware"),
        _module("hand SDK", "dynamixel_sdk", "hardware"),
        _module("RealSense SDK", "pyrealsense2", "hardware"),
        _serial,
        _module("operator's console", "fastapi", "console"),
        _port,
        _module("cluster", "ray", "cluster"),
        _module("Parquet export", "pyarrow", "export"),
        _research("r3m"),
        _research("manotorch"),
    ]


def run(args: Args) -> int:
    """Prints the findings; exit code 1 if something that is needed is broken."""
    if args.rig_config is not None:
        from deft_experiments.rig_doctor import check_rig

        findings = check_rig(args.rig_config)
    else:
        findings = [gl()] if args.gl else [check() for check in checks()] + weights(parse_weights(args.weights))
    broken = any(f.verdict == "broken" for f in findings)
    if args.json:
        print(json.dumps([asdict(f) for f in findings], indent=1))
    elif args.gl:
        f = findings[0]
        print(
            f"{f.name}: {f.detail}"
            if f.verdict == "ok"
            else f"{f.name} does not work ({f.detail}); mend it with: {f.fix}"
        )
    else:
        from rich.markup import escape
        from rich.table import Table

        from deft_experiments.terminal import output

        table = Table(box=None, pad_edge=False)
        for column in ("", "what", "found", "mend with"):
            table.add_column(column, overflow="fold")
        marks = {"ok": "[green]ok[/]", "missing": "[yellow]–[/]", "broken": "[red]broken[/]"}
        for f in findings:
            table.add_row(marks[f.verdict], f.name, escape(f.detail), escape(f.fix))
        output().print(table)
    return 1 if broken else 0
