"""Films of episodes."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from deft_env.wrappers import RecordEpisode, ffmpeg_path, write_film


def make(folder: Path, **keywords: Any) -> RecordEpisode:
    env = gym.make("deft/PickCup-v0", rig="landscape", images=False, render_mode="rgb_array_list")
    return RecordEpisode(env, folder, **keywords)


def play(env: gym.Env[Any, Any], episodes: int) -> list[dict[str, Any]]:
    infos = []
    for k in range(episodes):
        env.reset(seed=4 if k == 0 else None)
        infos.append(env.step(np.zeros(22))[4])
    return infos


def test_the_whole_episode_is_on_film(tmp_path: Path) -> None:
    env = make(tmp_path / "films")
    info = play(env, 1)[0]
    assert info["film"] == str(tmp_path / "films" / "PickCup-train-train-4-0.gif")
    with Image.open(info["film"]) as film:
        assert film.size == (640, 480)
        assert getattr(film, "n_frames", 1) == len(env.unwrapped.render())  # type: ignore[arg-type]
    assert [p.name for p in (tmp_path / "films").iterdir()] == ["PickCup-train-train-4-0.gif"]


def test_chosen_episodes_only(tmp_path: Path) -> None:
    infos = play(make(tmp_path, every=2), 5)
    assert ["film" in info for info in infos] == [True, False, True, False, True]
    infos = play(make(tmp_path, wanted=lambda info: info["success"]), 6)
    assert [("film" in info) == info["success"] for info in infos] == [True] * 6


def test_it_passes_pickling_arguments(tmp_path: Path) -> None:
    env = make(tmp_path, every=3)
    assert env.spec is not None
    assert env.spec.additional_wrappers[-1].kwargs["every"] == 3  # type: ignore[index]


@pytest.mark.parametrize("keywords", [{"format": "avi"}, {"every": 0}])
def test_bad_arguments(tmp_path: Path, keywords: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(keywords))):
        make(tmp_path, **keywords)


def test_another_render_mode_is_refused(tmp_path: Path) -> None:
    env = gym.make("deft/PickCup-v0", rig="landscape", images=False, render_mode="rgb_array")
    with pytest.raises(ValueError, match="rgb_array_list"):
        RecordEpisode(env, tmp_path)


def test_bad_films(tmp_path: Path) -> None:
    picture = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(ValueError, match=r"ends with \.gif or \.mp4"):
        write_film([picture], tmp_path / "film.avi")
    with pytest.raises(ValueError, match="at least one"):
        write_film([], tmp_path / "film.gif")
    with pytest.raises(ValueError, match="at 1"):
        write_film([picture, picture[:8]], tmp_path / "film.gif")
    with pytest.raises(ValueError, match="fps"):
        write_film([picture], tmp_path / "film.gif", fps=0)
    assert not list(tmp_path.iterdir())


def test_a_broken_film_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text('#!/bin/sh\nfor last; do :; done\ncat > "$last"\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setattr("deft_env.wrappers.ffmpeg_path", lambda: str(program))
    with pytest.raises(RuntimeError, match="ffmpeg"):
        write_film([np.zeros((16, 16, 3), np.uint8)], tmp_path / "film.mp4")
    monkeypatch.setattr("deft_env.wrappers.ffmpeg_path", lambda: None)
    with pytest.raises(RuntimeError, match=r"format='gif'"):
        write_film([np.zeros((16, 16, 3), np.uint8)], tmp_path / "film.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["ffmpeg"]


@pytest.mark.skipif(ffmpeg_path() is None, reason="no ffmpeg on this machine")
def test_mp4(tmp_path: Path) -> None:
    path = write_film([np.full((17, 33, 3), v, np.uint8) for v in (0, 128, 255)], tmp_path / "film.mp4")
    assert path.read_bytes()[4:8] == b"ftyp"
