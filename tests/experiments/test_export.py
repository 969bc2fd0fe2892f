"""Exports say what the store says, and pictures come back from their keys."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deft_env import observation, registries
from deft_env.episode import EpisodeKey
from deft_experiments import cli, export, lerobot, lerobot_format, sweep
from deft_experiments.config import RunConfig
from deft_experiments.store import Store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export")
    base = RunConfig("PickCup", rig="landscape", episodes=11)
    jobs = sweep.jobs(base, ["cem+elite-mean", "random+best-seen"], ["PickCup", "OpenDrawer"], 1)
    with Store(path, "w", durable=False) as store:
        sweep.work(sweep.Plan(tuple(jobs), 2, (11,)), store, lambda n: None)
    return path


def test_csv_has_every_row_and_every_bit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", str(folder)]) == 0
    written = capsys.readouterr().out.split()
    rows = list(csv.DictReader(io.StringIO(Path(written[0]).read_text())))
    with Store(folder) as store:
        expected = export.episodes(store)
        evaluations = export.evaluations(store)
    # 4 runs of 11; each evaluates one policy, two of them the prior too, on 2 splits of 2.
    assert len(rows) == len(expected) == 4 * 11 + (4 + 2) * 4
    for row, same in zip(rows, expected, strict=True):
        assert json.loads(row["residual"]) == same["residual"]
        assert row["search"] == same["search"]
        assert row["success"] == str(same["success"])
    trained = [r for r in rows if r["role"] == "train"]
    assert [float(r["reward"]) for r in trained] == [e["reward"] for e in expected if e["role"] == "train"]
    assert len(list(csv.DictReader(io.StringIO(Path(written[1]).read_text())))) == len(evaluations) == 12


def test_parquet_equals_the_rows(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    assert cli.main(["export", str(folder), "--format", "parquet", "--out", str(tmp_path)]) == 0
    read = pq.read_table(tmp_path / "episodes.parquet").to_pylist()
    with Store(folder) as store:
        rows = export.episodes(store)
    assert len(read) == len(rows)
    for a, b in zip(read, rows, strict=True):
        assert {k: a[k] for k in export.VECTORS} == {k: b[k] for k in export.VECTORS}
        assert a["subgoals"] == [{"name": n, "reached": r} for n, r in b["subgoals"]]
        assert a["success"] is b["success"]
    assert sum(r["trials"] for r in pq.read_table(tmp_path / "evaluations.parquet").to_pylist()) == 24


def test_lerobot_layout_and_pictures(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq
    from PIL import Image

    monkeypatch.setattr(lerobot, "FRAMES_A_FILE", 30)
    with Store(folder) as store:
        target = lerobot.write(store, tmp_path, source=folder, role="train")
        rows = export.episodes(store, "train")
    info = json.loads((target / "meta" / "info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert info["total_episodes"] == info["total_frames"] == len(rows) == 44
    index = pq.read_table(target / lerobot_format.EPISODES_PATH).to_pylist()
    frames: list[dict[str, Any]] = []
    for file_index in (0, 1):
        path = target / info["data_path"].format(chunk_index=0, file_index=file_index)
        table = pq.read_table(path)
        assert set(table.column_names) == set(info["features"])
        frames += table.to_pylist()
    assert [f["index"] for f in frames] == list(range(44))
    for episode, frame, row in zip(index, frames, rows, strict=True):
        assert episode["dataset_to_index"] - episode["dataset_from_index"] == episode["length"] == 1
        assert episode["deft/run"] == row["run"]
        np.testing.assert_array_equal(frame["action"], np.float32(row["executed_grasp"]))
        np.testing.assert_array_equal(frame["residual"], np.float32(row["residual"]))
        assert frame["next.success"] is row["success"]
    tasks = pq.read_table(target / "meta" / "tasks.parquet")
    assert tasks.to_pydict()["task"] == ["open the drawer", "pick up the cup"]
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    assert index[0]["tasks"] == ["open the drawer"]
    assert frames[0]["task_index"] == 0
    # The picture is the scene's own, rendered again.
    for i in (0, 43):
        row = rows[i]
        with registries.make_rig("landscape") as rig:
            key = EpisodeKey(row["task"], row["split"], "train", row["seed"], row["k"])
            expected = observation.image(rig.reset_batch([key])[0])
        stored = np.array(Image.open(io.BytesIO(frames[i][lerobot_format.IMAGE]["bytes"])))
        np.testing.assert_array_equal(stored, expected)
    stats = json.loads((target / "meta" / "stats.json").read_text())
    actions = np.array([f["action"] for f in frames], dtype=np.float64)
    np.testing.assert_allclose(stats["action"]["mean"], actions.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(stats["action"]["std"], actions.std(axis=0), atol=1e-6)
    assert np.shape(stats[lerobot_format.IMAGE]["mean"]) == (3, 1, 1)
    assert 0.0 <= stats[lerobot_format.IMAGE]["min"][0][0][0] <= stats[lerobot_format.IMAGE]["max"][0][0][0] <= 1.0


def test_lerobot_itself_reads_the_dataset(folder: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("lerobot.datasets.lerobot_dataset")  # checked with lerobot 0.4.4
    with Store(folder) as store:
        target = lerobot.write(store, tmp_path, source=folder, role="train")
        rows = export.episodes(store, "train")
    loaded = datasets.LeRobotDataset("deft/test", root=target)
    assert len(loaded) == loaded.num_episodes == len(rows)
    np.testing.assert_array_equal(loaded[3]["action"], np.float32(rows[3]["executed_grasp"]))
    assert tuple(loaded[3][lerobot_format.IMAGE].shape) == (3, 224, 224)
    assert loaded[3]["task"] == "open the drawer"
    assert len(datasets.LeRobotDataset("deft/test", root=target, episodes=[0, 3])) == 2


def test_tensorboard_reads_back(folder: Path, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert cli.main(["export", str(folder), "--format", "tensorboard", "--out", str(tmp_path)]) == 0
    with Store(folder) as store:
        run = store.runs()[0]
        rewards = [r["reward"] for r in export.episodes(store, "train") if r["run"] == run]
    found = accumulator.EventAccumulator(str(tmp_path / "tensorboard" / run))
    found.Reload()
    assert [s.step for s in found.Scalars("train/reward")] == list(range(1, 12))
    np.testing.assert_allclose([s.value for s in found.Scalars("train/reward")], rewards, rtol=1e-6)


def test_wandb_is_offline(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []
    logged: list[tuple[int, dict[str, float]]] = []

    def init(**options: Any) -> Any:
        calls.append(options)
        return SimpleNamespace(log=lambda values, step: logged.append((step, values)), finish=lambda: None)

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    assert cli.main(["export", str(folder), "--format", "wandb", "--out", str(tmp_path)]) == 0
    assert len(calls) == 4
    assert all(c["mode"] == "offline" for c in calls)
    # Two of the runs carry the prior's evaluation, before any episode.
    assert sorted(step for step, _ in logged) == sorted([*range(1, 12)] * 4 + [0] * 2)
    assert "eval/test/elite-mean" in {name for _, values in logged for name in values}


@pytest.mark.parametrize(("module", "kind"), [("pyarrow", "parquet"), ("pyarrow", "lerobot"), ("wandb", "wandb")])
def test_missing_library_says_how_to_get_it(
    module: str,
    kind: str,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert cli.main(["export", str(folder), "--format", kind, "--out", str(tmp_path / "x")]) == 2
    assert "pip install" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
