"""``deft gallery``: pictures of every task, for the docs and for the eye."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import tyro
from numpy.typing import NDArray

from deft_env import registries
from deft_env.episode import SPLITS, EpisodeKey
from deft_experiments import images
from deft_experiments.errors import UsageError

OBJECTS_EACH: Final = 3
STRIP_FRAMES: Final = 8
SCENE_PX: Final = 320
"""Width of the square of the camera's picture that shows a scene's objects."""
CLOSE_UP_PX: Final = 220
"""Width at which that square is drawn."""


@dataclass(frozen=True)
class Args:
    """Renders for each task: the first frame as the camera sees it, a film strip of the reference grasp, its objects.

    Attributes:
        tasks: tasks to draw; none for all nine.
        out: folder for ``<task>-first.png``, ``<task>-strip.png`` and ``<task>-objects.png``.
        seed: of the scenes.
        soft: draw ``<task>-soft-strip.png`` instead, of the tasks in which something is deformable.
    """

    tasks: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[TASK ...]")] = ()
    out: Path = Path("gallery")
    seed: int = 0
    soft: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


def _close_up(rgb: NDArray[np.uint8], centre_px: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A square around a pixel, moved so far as the picture's border asks, at a smaller scale."""
    from PIL import Image

    height, width = rgb.shape[:2]
    half = SCENE_PX // 2
    u = int(np.clip(round(float(centre_px[0])), half, width - half))
    v = int(np.clip(round(float(centre_px[1])), half, height - half))
    square = Image.fromarray(rgb[v - half : v + half, u - half : u + half])
    return np.asarray(square.resize((CLOSE_UP_PX, CLOSE_UP_PX), Image.Resampling.LANCZOS))


def _pixel(frame: Any, point_m: NDArray[np.float64]) -> NDArray[np.float64]:
    camera = np.linalg.inv(frame.T_base_cam) @ np.append(point_m, 1.0)
    return np.asarray((frame.K @ camera[:3])[:2] / camera[2])


def _middle(scene: Any, grasp_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half-way between the outermost of a scene's bodies and the grasp (3,), m."""
    # A part on a slide, such as a drawer, has no place of its own.
    places = np.array([grasp_m, *(position for position, _ in scene.poses.values() if len(position) == 3)])
    return np.asarray((places.min(0) + places.max(0)) / 2)


def draw(task_name: str, out: Path, seed: int, *, soft: bool = False) -> dict[str, Any]:
    """Writes the pictures of a task; returns what the reference grasp did in the film."""
    from deft_env.rigs.simulated import SimulatedRig

    def save(name: str, pixels: NDArray[np.uint8]) -> None:
        data = images.png(pixels)
        images.write_atomically(out / f"{registries.snake(task_name)}-{name}.png", lambda f: f.write(data))

    def objects() -> None:
        rows = []
        for split in SPLITS:
            keys = [EpisodeKey(task_name, split, "reference", seed, k) for k in range(OBJECTS_EACH)]
            frames = rig.reset_batch(keys)
            assert frames.truths is not None
            points = [_middle(task.draw(key), t.human_grasp[:3]) for key, t in zip(keys, frames.truths, strict=True)]
            rows.append(
                np.concatenate([_close_up(f.rgb, _pixel(f, p)) for f, p in zip(frames, points, strict=True)], 1)
            )
        gap = np.full((rows[0].shape[0], 12, 3), 255, np.uint8)
        save("objects", np.concatenate([rows[0], gap, rows[1]], 1))

    with SimulatedRig(soft=soft) as rig:
        task = rig.task(task_name)
        if not soft:
            objects()
        frames = rig.reset_batch([EpisodeKey(task_name, "train", "reference", seed, 0)])
        assert frames.truths is not None
        if not soft:
            save("first", frames[0].rgb)
        outcome = rig.execute_batch(frames.truths[0].human_grasp[None], [task.demonstration])[0]
        if outcome.film is not None:
            film = outcome.film()
            chosen = [film[i] for i in np.linspace(3, len(film) - 1, STRIP_FRAMES).astype(int)]
            half = STRIP_FRAMES // 2
            save(
                "soft-strip" if soft else "strip",
                np.concatenate([np.concatenate(chosen[:half], 1), np.concatenate(chosen[half:], 1)], 0),
            )
    return {"success": outcome.success, "score": outcome.score, "subgoals": dict(outcome.subgoals)}


def _deformable(name: str) -> bool:
    return bool(getattr(registries.make_task(name), "deformable", False))


def run(args: Args) -> int:
    """Draws every task and says how its reference grasp fared in the film."""
    names = args.tasks or tuple(registries.TASK_WORDS)
    unknown = [name for name in names if name not in registries.tasks.names()]
    if unknown:
        raise UsageError(f"unknown task(s) {', '.join(unknown)}; there are: {', '.join(registries.tasks.names())}")
    if args.soft:
        rigid = [name for name in args.tasks if not _deformable(name)]
        if rigid:
            raise UsageError(f"nothing is deformable in {', '.join(rigid)}")
        names = tuple(name for name in names if _deformable(name))
    for name in names:
        result = draw(name, args.out, args.seed, soft=args.soft)
        print(f"{name}: success {result['success']}, score {result['score']:.2f} -> {args.out}", flush=True)
    return 0
