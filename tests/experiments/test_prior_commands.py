"""The commands round the affordance prior: arguments, messages, files, and the paired comparison."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("mujoco")

from deft_env.demonstration import Demonstration
from deft_env.sim.render import RenderingUnavailableError
from deft_experiments import cli, zero_shot


def test_chain_extract_and_train(tmp_path, capsys):
    out = tmp_path / "chain"
    words = ["affordance-chain", str(out), "--clips", "8", "--tasks", "PickCup", "--shapes", "0", "--epochs", "1"]
    code = cli.main([*words, "--batch", "4"])
    if code == 2 and "OpenGL" in capsys.readouterr().err:
        pytest.skip("no off-screen OpenGL")
    assert code == 0
    weights = out / "network" / "affordance.safetensors"
    assert weights.is_file()
    said = capsys.readouterr().out
    assert f"affordance={weights}" in said
    assert f"choice={out / 'network' / 'choice.safetensors'}" in said
    assert (out / "network" / "choice.safetensors").is_file()

    labels = tmp_path / "labels"
    read = ["--root", str(out / "videos"), "--out", str(labels), "--poses", "hamer"]
    assert cli.main(["extract", "epic-kitchens", *read]) == 0
    said = capsys.readouterr().out
    found = json.loads((labels / "manifest.json").read_text())
    assert f"{found['labels']} labels from {found['clips']} clips" in said
    assert (labels / "contact-sheet.png").is_file()

    train = ["train", "affordance", "--data", str(labels), "--preset", "small", "--epochs", "1", "--batch", "4"]
    assert cli.main([*train, "--out", str(tmp_path / "network")]) == 0
    assert "epoch 1/1" in capsys.readouterr().out
    assert (tmp_path / "network" / "affordance.safetensors").is_file()


def test_speed_prints_both_loops_and_their_ratio(capsys):
    assert cli.main(["train", "speed", "--preset", "small", "--batch", "4", "--steps", "2"]) == 0
    said = capsys.readouterr().out
    plain, ours, ratio = (float(said.split(word)[1].split()[0]) for word in ("loop", "this one", "ratio"))
    assert ratio == pytest.approx(ours / plain, abs=0.1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["extract", "nothing", "--root", ".", "--out", "o"], "expected one of"),
        (["extract", "ego4d", "--root", "not-there", "--out", "o"], "no such folder"),
        (["train", "affordance", "--data", "not-there"], "deft extract makes one"),
        (["train", "affordance"], "at least one folder"),
        (["train", "choice", "--data", "."], "EPIC_100"),
        (["affordance-chain", "o", "--tasks", "Nothing"], "unknown Nothing"),
        (["affordance-check", "Nothing"], "unknown task 'Nothing'"),
        (["affordance-check", "--scenes", "1"], "at least 2"),
    ],
)
def test_bad_arguments(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    assert message in capsys.readouterr().err


def test_demo_to_trajectory(tmp_path, capsys, monkeypatch):
    from deft_env.video import epic
    from deft_env.video.records import Clip, HandPose

    clip = Clip("one_0", "one", 1, 60, "pick up the cup")

    class Dataset:
        def __init__(self, root, poses):
            self.poses = poses

        def clips(self):
            return [clip]

        def pose(self, clip, frame):
            place = np.array([0.0, 0.001 * frame, 0.8])
            return HandPose(np.zeros(45), False, np.array([0.1, 0.2, 0.0]), position_m=place)

        def image(self, clip, frame):
            return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr(epic, "EpicKitchens", Dataset)
    camera, out = tmp_path / "camera.json", tmp_path / "demo.json"
    camera.write_text(json.dumps({"T_base_cam": np.eye(4).tolist()}))
    words = ["demo-to-trajectory", "PickCup", "one", "--dataset", "epic-kitchens", "--root", str(tmp_path)]
    words += ["--out", str(out), "--grasp-frame", "2", "--smooth", "0"]
    assert cli.main([*words, "--camera", str(camera)]) == 0
    made = Demonstration.load(out)
    assert np.allclose(np.linalg.norm(made.displacements[:, :3], axis=1), 0.001)
    assert made.source == "human video"
    assert out.with_suffix(".goal.png").is_file()
    camera.write_text(json.dumps((2 * np.eye(4)).tolist()))
    assert cli.main([*words, "--camera", str(camera)]) == 2
    assert "rigid" in capsys.readouterr().err
    camera.write_text(json.dumps(np.eye(4).tolist()))
    words[2] = "two"
    assert cli.main([*words, "--camera", str(camera)]) == 2
    assert "one_0" in capsys.readouterr().err


def _cell(success):
    n = len(success)
    return zero_shot.Cell(tuple(success), (0.0,) * n, 0, 0, 0.1)


def test_table_compares_the_same_scenes():
    good, bad = [True] * 8 + [False] * 2, [True] * 2 + [False] * 8
    cells = {"PickCup/train/affordance": _cell(good), "PickCup/train/heuristic": _cell(bad)}
    rows = zero_shot.table(cells, ["PickCup", "PourCup"], ["train"], ["affordance", "heuristic"])
    assert len(rows) == 3  # a task without cells has no row
    # Six scenes better, four the same: 0.6, and a t interval of 2.26 * 0.516 / sqrt(10).
    assert "| 0.80 | 0.20 | **+0.60 [+0.23, +0.97]** |" in rows[2]
    assert zero_shot.better(cells, ["PickCup"], "train", "affordance", "heuristic") == ["PickCup"]
    assert zero_shot.better(cells, ["PickCup"], "train", "heuristic", "affordance") == []


def test_check_plays_and_goes_on(tmp_path, capsys):
    out, page = tmp_path / "z.json", tmp_path / "z.md"
    words = ["affordance-check", "PickCup", "--splits", "train", "--scenes", "2", "--priors", "simulated", "heuristic"]
    words += ["--out", str(out), "--page", str(page)]
    try:
        assert cli.main(words) == 0
    except RenderingUnavailableError as error:
        pytest.skip(str(error))
    data = json.loads(out.read_text())
    assert len(data["cells"]) == 2
    assert "PickCup" in page.read_text()
    # What is there is not played again: a changed cell stays as it is.
    next(iter(data["cells"].values()))["success"] = [True, True]
    out.write_text(json.dumps(data))
    assert cli.main(words) == 0
    assert "| 1.00 |" in capsys.readouterr().out.splitlines()[-1]
    assert cli.main([*words[:-4], "--seed", "5", "--out", str(out)]) == 2
