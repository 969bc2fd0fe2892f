"""Pictures and films of episodes as files: written under a temporary name, flushed, then renamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from deft_env import grasp, paper
from deft_env.episode import Frame, Outcome
from deft_experiments import errors
from deft_experiments.parts import Parts
from deft_experiments.run import Run
from deft_experiments.run_episode import episode_name

Keep = Literal["all", "elites", "none"]
FILM_FPS: Final = 10
STRIP_FRAMES: Final = 8


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Calls ``write`` with a temporary file beside ``path`` and renames it: no reader ever sees half a file.

    Raises:
        StoreFullError: if the disk is full; ``StoreReadOnlyError`` if the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise errors.explain(error, path) from None


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text as ``write_atomically`` does."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Writes bytes as ``write_atomically`` does."""
    write_atomically(path, lambda file: file.write(data))


class FrameKeeper:
    """Keeps the first and last picture of episodes in a folder, ``<run>/<name>-first.npz`` and so on.

    Args:
        folder: where they go.
        keep: ``all``, ``elites`` (the best so far; others are removed again) or ``none``.
    """

    def __init__(self, folder: Path, keep: Keep) -> None:
        self.folder, self._keep = folder, keep

    def path(self, run: Run, name: str, which: str) -> Path:
        """The file of a picture; ``which`` is ``"first"`` or ``"last"``, ``name`` the episode's (``episode_name``)."""
        return self.folder / run.id / f"{name}-{which}.npz"

    def keep(self, run: Run, name: str, before: Callable[[], Frame], outcome: Outcome) -> None:
        """Writes both pictures of an executed episode, before anything is recorded of it."""
        if self._keep == "none" or (self._keep == "elites" and not outcome.status.counts):
            return
        self._write(self.path(run, name, "first"), before())
        if outcome.last_frame is not None:
            self._write(self.path(run, name, "last"), outcome.last_frame())

    def scored(self, run: Run) -> None:
        """Removes what is no longer among the best, ties to the newer."""
        if self._keep != "elites":
            return
        rated = [e for e in run.episodes if e.rewards]
        best = sorted(rated, key=lambda e: (run.sign * e.rewards[-1], e.k), reverse=True)[: paper.ELITES]
        for episode in rated:
            if episode not in best:
                for which in ("first", "last"):
                    self.path(run, episode_name(episode.k), which).unlink(missing_ok=True)

    @staticmethod
    def _write(path: Path, frame: Frame) -> None:
        millimetres = np.clip(np.round(frame.depth_m * 1000.0), 0, 65535).astype(np.uint16)
        arrays: dict[str, Any] = {
            "rgb": frame.rgb,
            "depth_mm": millimetres,
            "K": frame.K,
            "T_base_cam": frame.T_base_cam,
        }
        write_atomically(path, lambda file: np.savez_compressed(file, **arrays))

    def frame(self, run: Run, name: str, which: str) -> Frame:
        """Reads a kept picture; depth is rounded to millimetres.

        Raises:
            FileNotFoundError: if it was not kept.
        """
        return read_frame(self.path(run, name, which))


def read_frame(path: Path) -> Frame:
    """Reads a picture that a ``FrameKeeper`` wrote.

    Raises:
        FileNotFoundError: if there is none.
    """
    with np.load(path, allow_pickle=False) as data:
        depth = data["depth_mm"].astype(np.float32) / np.float32(1000.0)
        return Frame(data["rgb"], depth, data["K"], data["T_base_cam"])


def film(run: Run, k: int, parts: Parts) -> list[NDArray[np.uint8]]:
    """The frames of a training episode, played again from its key; empty where the rig cannot (a real one)."""
    trial = run.episodes[k].trial
    if parts.rig.real or trial is None:
        return []
    parts.rig.reset_batch([run.key(k)])
    wished = grasp.compose(trial.context.prior, trial.residual)[None]
    (outcome,) = parts.rig.execute_batch(wished, [parts.task.demonstration])
    return outcome.film() if outcome.film is not None else []


def save_gif(path: Path, frames: Sequence[NDArray[np.uint8]], fps: int = FILM_FPS) -> None:
    """Writes frames (H, W, 3) uint8 as an animated GIF that loops.

    Raises:
        ValueError: if there are no frames.
    """
    from PIL import Image

    if not len(frames):
        raise ValueError("frames: expected at least one frame")
    pictures = [Image.fromarray(f).quantize(128, dither=Image.Dither.NONE) for f in frames]
    write_atomically(
        path,
        lambda file: pictures[0].save(
            file, format="GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0
        ),
    )


def strip(frames: Sequence[NDArray[np.uint8]], count: int = STRIP_FRAMES, height_px: int = 120) -> NDArray[np.uint8]:
    """``count`` evenly spaced frames side by side, (height, width, 3)."""
    from PIL import Image

    picked = [frames[i] for i in np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)]
    small = [Image.fromarray(f).resize((round(f.shape[1] * height_px / f.shape[0]), height_px)) for f in picked]
    return np.concatenate([np.asarray(s) for s in small], axis=1)


def png(picture: NDArray[np.uint8]) -> bytes:
    """A picture (H, W, 3) as PNG bytes."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
