"""``RecordEpisode``: the film of a whole grasp; and the writing of films."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_args

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from deft_env.env_parts import FILM_FPS

Format = Literal["gif", "mp4"]
FORMATS: Final[tuple[str, ...]] = get_args(Format)
_ENCODER_LIMIT_S: Final = 300


def ffmpeg_path() -> str | None:
    """The ffmpeg program: on the path, or of the package imageio-ffmpeg; None where there is none."""
    found = shutil.which("ffmpeg")
    if found is not None:
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return None
    return str(get_ffmpeg_exe())


def _write_gif(pictures: Sequence[NDArray[np.uint8]], path: Path, fps: float) -> None:
    from PIL import Image

    # One palette for all pictures: with one each, flat areas flicker.
    palette = Image.fromarray(np.concatenate([pictures[0], pictures[-1]])).quantize(128)
    images = [Image.fromarray(p).quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    images[0].save(
        path, format="GIF", save_all=True, append_images=images[1:], duration=round(1000 / fps), loop=0, optimize=False
    )


def _write_mp4(pictures: Sequence[NDArray[np.uint8]], path: Path, fps: float) -> None:
    program = ffmpeg_path()
    if program is None:
        raise RuntimeError("writing mp4 needs ffmpeg: apt-get install ffmpeg, or use format='gif'")
    height, width, _ = pictures[0].shape
    command = [program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"]
    # Players expect even sizes and 4:2:0 colours.
    command += ["-r", f"{fps:g}", "-i", "-", "-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2", "-pix_fmt", "yuv420p"]
    command += ["-f", "mp4", str(path)]
    data = b"".join(np.ascontiguousarray(p).tobytes() for p in pictures)
    done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=_ENCODER_LIMIT_S)
    if done.returncode != 0:
        raise RuntimeError(f"ffmpeg could not write {path}: {done.stderr.decode(errors='replace').strip()[-300:]}")


def write_film(pictures: Sequence[NDArray[np.uint8]], path: str | Path, fps: float = FILM_FPS) -> Path:
    """Writes pictures (H, W, 3) uint8 as a film; a half-written file never has the final name.

    Args:
        pictures: at least one, all of one size.
        path: ends with ``.gif`` (Pillow) or ``.mp4`` (needs ffmpeg); its folder is made.
        fps: pictures per second.

    Returns:
        The path.

    Raises:
        ValueError: for no pictures, a wrong shape or type, another ending, or ``fps`` not above 0.
        RuntimeError: if ffmpeg is missing or fails.
    """
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise ValueError(f"path: expected a name that ends with .gif or .mp4, got {path.name!r}")
    if not fps > 0:
        raise ValueError(f"fps: expected a number > 0, got {fps!r}")
    if not len(pictures):
        raise ValueError("pictures: a film needs at least one")
    for i, picture in enumerate(pictures):
        if picture.ndim != 3 or picture.shape != (*pictures[0].shape[:2], 3) or picture.dtype != np.uint8:
            raise ValueError(
                f"pictures: expected uint8 (H, W, 3) of one size, got {picture.dtype} {picture.shape} at {i}"
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        (_write_gif if kind == "gif" else _write_mp4)(pictures, temporary, fps)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


class RecordEpisode(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """Writes the film of every episode, or of chosen ones: ``<folder>/<key>.gif`` with the key's slashes as dashes.

    Gymnasium's own RecordVideo sees two pictures of a one-step episode; this one asks for the whole film. The path of
    the film just written is in ``info["film"]``.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        folder: str | Path,
        *,
        format: Format = "gif",
        every: int = 1,
        wanted: Callable[[dict[str, Any]], bool] | None = None,
        fps: float | None = None,
    ) -> None:
        """Wraps ``env``.

        Args:
            env: made with ``render_mode="rgb_array_list"``.
            folder: where films go.
            format: ``"gif"`` or ``"mp4"`` (needs ffmpeg).
            every: films the first episode and then each ``every``-th.
            wanted: of these, only episodes whose ``info`` it accepts, for example ``lambda info: info["success"]``.
            fps: pictures per second; the environment's ``render_fps`` by default.

        Raises:
            ValueError: for another render mode or format, or ``every`` below 1.
        """
        gym.utils.RecordConstructorArgs.__init__(
            self, folder=folder, format=format, every=every, wanted=wanted, fps=fps
        )
        gym.Wrapper.__init__(self, env)
        if env.render_mode != "rgb_array_list":
            raise ValueError(
                f"env: make it with render_mode='rgb_array_list', got {env.render_mode!r}; nothing else has the film"
            )
        if format not in FORMATS:
            raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {format!r}")
        if every < 1:
            raise ValueError(f"every: expected an integer >= 1, got {every!r}")
        self.folder, self.format, self.every, self.wanted = Path(folder), format, every, wanted
        self.fps = float(fps if fps is not None else env.metadata.get("render_fps", FILM_FPS))
        self._played = 0

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Plays the episode and writes its film, if it is wanted."""
        seen, reward, terminated, truncated, info = self.env.step(action)
        chosen = self._played % self.every == 0 and (self.wanted is None or bool(self.wanted(info)))
        self._played += 1
        if chosen:
            name = re.sub(r"[^A-Za-z0-9_-]", "-", info["key"])
            path = self.folder / f"{name}.{self.format}"
            info = {**info, "film": str(write_film(self.env.render(), path, self.fps))}  # type: ignore[arg-type]
        return seen, reward, terminated, truncated, info
