"""The results page, the benchmark that is read from a sweep played before, and the CPU time that sweeps note."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from deft_env.encoders.encoder import ColourGrid
from deft_experiments import benchmark_section, cli, leaderboard, leaderboard_lines, results_page, spent, sweep
from deft_experiments.config import RunConfig
from deft_experiments.store import Store

SMALL = ("--rig", "landscape", "--seeds", "2", "--trials", "2", "--tasks", "PickCup", "--workers", "1")
AGENTS = ("deft", "cem+elite-mean", "random+best-seen")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep on two tasks, evaluated on training objects alone, and a third task that one agent has not finished."""
    folder = tmp_path_factory.mktemp("played")
    base = RunConfig("PickCup", rig="landscape")
    for agents, tasks in ((AGENTS, ("PickCup", "OpenDrawer")), (("deft",), ("StirSpoon",))):
        jobs = sweep.jobs(base, agents, tasks, 3)
        plan = sweep.Plan(tuple(jobs), 4, (10, 30), splits=("train",))
        sweep.run_sweep(plan, folder, 1, lambda n: None)
    return folder


def test_a_benchmark_is_read_from_its_store(played: Path, tmp_path: Path) -> None:
    text = benchmark_section.section(played, tmp_path)
    assert "Mean over PickCup, OpenDrawer; training objects" in text
    assert "every agent has finished two seeds of them: StirSpoon." in text
    assert (tmp_path / "images" / "benchmark.png").read_bytes().startswith(b"\x89PNG")
    of = benchmark_section.read(played / "store.sqlite")
    assert of is not None
    assert of.marks == (10, 30)
    with Store(played) as store:
        rows = store.rows(
            "SELECT avg(success) AS s FROM evaluation_episodes"
            " WHERE policy = 'cvae' AND after = 10 AND task != 'StirSpoon'"
        )
    deft = dict(zip((10, 30), benchmark_section.curves(of)["deft"], strict=True))
    assert deft[10][1] == pytest.approx(rows[0]["s"])
    line = next(x for x in text.splitlines() if x.startswith("| `deft` |"))
    assert f"| {rows[0]['s']:.3f} |" in line
    assert len([x for x in text.splitlines() if x.startswith("| PickCup |")]) == 1


def test_a_leaderboard_of_one_split_ranks(played: Path) -> None:
    paths = leaderboard.stores([played])
    assert leaderboard.evaluated_splits(paths) == ("train",)
    board = leaderboard.build(paths)
    assert board.tasks == ("OpenDrawer", "PickCup"), "what all agents have in common"
    ranked = board.entries
    assert all(e.success is not None and e.seeds == 3 for e in ranked)
    both = leaderboard.build(paths, tasks=("PickCup",), splits=("train", "test"))
    assert all(e.success is None for e in both.entries)
    head, rows = leaderboard_lines.brief(ranked)
    assert "rig" not in head
    assert "success [95 %]" in head
    assert {len(row) for row in rows} == {len(head)}


def test_a_leaderboard_after_episodes_that_nobody_evaluated_is_refused(
    played: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["leaderboard", str(played), "--episodes", "12"]) == 2
    assert "there are policies after 10, 30" in capsys.readouterr().err


def test_a_store_of_an_agent_that_is_registered_no_more_is_read(
    played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, board = tmp_path / "old", tmp_path / "board.html"
    shutil.copytree(played, folder)
    with sqlite3.connect(folder / "store.sqlite") as db:
        db.execute(
            "UPDATE runs SET agent = replace(agent, 'random', 'gone'), config = replace(config, 'random', 'gone')"
        )
    assert cli.main(["report", str(folder)]) == 0
    assert cli.main(["leaderboard", str(folder), "--out", str(board)]) == 0
    assert "gone+best-seen" in board.read_text(encoding="utf-8").replace("\u00a0", " ")
    one = tmp_path / "one"
    with Store(one, "w", durable=False) as store:
        store.add_run("one", {**RunConfig("PickCup", rig="landscape").as_dict(), "agent": "gone"}, {})
    assert cli.main(["tune", "--resume", str(one)]) == 2
    assert f"--resume {one}: unknown search 'gone'" in capsys.readouterr().err


def test_results_take_a_benchmark_and_play_nothing_twice(
    played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = (played / "store.sqlite").read_bytes()
    words = ["results", *SMALL, "--parts", "table-2", "bench", "--folder", "r", "--benchmark", str(played)]
    assert cli.main(words) == 0
    page = (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    assert "A sweep of its own, played before and only read here" in page
    assert "## Optimizers" in page
    assert "Where it went, tables and figures: " in page
    assert str(tmp_path) not in page
    assert (played / "store.sqlite").read_bytes() == before
    assert not (tmp_path / "r" / results_page.BENCH).exists()
    noted = json.loads((tmp_path / "r" / results_page.TIMES).read_text())
    assert set(noted) == {"table-2"}
    assert noted["table-2"]["cpu_seconds"] > 0.0
    capsys.readouterr()
    assert cli.main(["results", "--page-only", "--folder", "r", "--benchmark", "nowhere"]) == cli.EXIT_USAGE
    assert "--benchmark nowhere: expected a folder of a sweep" in capsys.readouterr().err


def test_cpu_time_is_noted_by_what_it_went_into(tmp_path: Path) -> None:
    base = RunConfig("PickCup", rig="landscape", episodes=11)
    plan = sweep.Plan(tuple(sweep.jobs(base, ["deft"], ["PickCup"], 2)), 2, (11,))
    of = sweep.run_sweep(plan, tmp_path / "a", 2, lambda n: None)
    assert {spent.ALL, spent.PHYSICS, spent.FITTING, spent.AGENTS} <= set(of)
    assert sum(s for what, s in of.items() if what != spent.ALL) < of[spent.ALL]
    spent.note(tmp_path, of)
    spent.note(tmp_path, of)
    assert spent.read(tmp_path)[spent.FITTING] == pytest.approx(2 * of[spent.FITTING])
    assert "fitting policies" in spent.in_words(of)
    assert spent.read(tmp_path / "nowhere") == {}


def test_a_scene_is_looked_at_once_for_all_candidates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    encode = ColourGrid.encode

    def counted(self: ColourGrid, images: np.ndarray) -> np.ndarray:
        seen.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(ColourGrid, "encode", counted)
    base = RunConfig("PickCup", rig="landscape", episodes=11, encoder="colour-grid")
    jobs = sweep.jobs(base, ["cem+elite-mean", "cem+best-seen"], ["PickCup"], 1)
    sweep.run_sweep(sweep.Plan(tuple(jobs), 3, (11,)), tmp_path, 1, lambda n: None)
    assert sum(seen) == 11 + 2 * 3, "eleven scenes of training, three a split for prior alone and two policies"
