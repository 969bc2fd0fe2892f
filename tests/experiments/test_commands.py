"""The ``deft`` command as a user meets it: results, exit codes, messages, files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from deft_experiments import cli
from deft_experiments.errors import RigError
from deft_experiments.store import Store

TUNE = ["tune", "PickCup", "--rig", "landscape", "--agent", "cem+elite-mean", "--episodes", "12", "--eval-trials", "4"]
BENCH = [
    *(
        "bench",
        "--rig",
        "landscape",
        "--agents",
        "cem+elite-mean,cem,random+best-seen",
        "--tasks",
        "PickCup,OpenDrawer",
    ),
    *("--seeds", "2", "--episodes", "11", "--trials", "3", "--eval-at", "5", "11"),
]


def deft(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deft_experiments.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


def rows(folder: Path) -> list[tuple[Any, ...]]:
    with Store(folder) as store:
        return [
            (e.run, e.seq, e.kind, e.role, e.policy, e.after, e.split, e.k, e.attempt, json.dumps(dict(e.payload)))
            for run in store.runs()
            for e in store.events(run)
        ]


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys; from deft_experiments import cli; code = cli.main(['--help'])\n"
        "heavy = {'torch', 'mujoco', 'numpy', 'scipy', 'tyro', 'rich', 'gymnasium'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy), code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY [] 0" in done.stdout
    for name in cli.COMMANDS:
        assert f"  {name} " in done.stdout


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_has_help_without_torch(name: str) -> None:
    code = (
        f"import sys; from deft_experiments import cli; code = cli.main([{name!r}, '--help'])\n"
        "print('HEAVY', sorted({'torch', 'mujoco'} & set(sys.modules)), code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY [] 0" in done.stdout
    assert f"deft {name}" in done.stdout


def test_tune_twice_is_the_same_but_for_the_clock(tmp_path: Path) -> None:
    results = []
    for _ in range(2):
        done = deft(*TUNE, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout))
    clocks = [r.pop("wall_clock") for r in results]
    assert results[0] == results[1]
    assert clocks[0]["folder"] != clocks[1]["folder"]
    assert results[0]["stand_ins"] == ["rig 'landscape'", "prior 'simulated'", "reward 'oracle'"]
    assert results[0]["training"]["episodes"] == 12
    assert [(c["policy"], c["split"], c["trials"]) for c in results[0]["evaluation"]] == [
        (policy, split, 4) for policy in ("prior", "elite-mean") for split in ("train", "test")
    ]
    folder = tmp_path / clocks[0]["folder"]
    page = (folder / "report.html").read_text()
    assert "Stand-ins, not the real thing: rig &#x27;landscape&#x27;" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert (folder / "learning_curve.png").read_bytes()[:4] == b"\x89PNG"
    assert (folder / "best.gif").read_bytes()[:3] == b"GIF"
    assert sorted(p.name for p in (folder / "policies").iterdir()) == ["after-010.safetensors", "after-012.safetensors"]
    kept = {int(p.name[:4]) for p in (folder / "frames").rglob("*.npz")}
    rewards = results[0]["training"]["rewards"]
    assert kept == set(sorted(range(12), key=lambda k: (rewards[k], k), reverse=True)[:10])


def test_tune_resumes_after_the_rig_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([*TUNE, "--out", "whole"]) == 0
    capsys.readouterr()
    from deft_mocks.landscape import LandscapeRig

    execute, calls = LandscapeRig.execute_batch, [0]

    def breaks(self: Any, *args: Any) -> Any:
        calls[0] += 1
        if calls[0] == 8:
            raise RigError("the arm does not answer")
        return execute(self, *args)

    monkeypatch.setattr(LandscapeRig, "execute_batch", breaks)
    assert cli.main([*TUNE, "--out", "broken"]) == 1
    said = capsys.readouterr().err
    assert "deft tune --resume broken" in said
    assert "the arm does not answer" in said
    assert 0 < len(rows(tmp_path / "broken")) < len(rows(tmp_path / "whole"))
    assert cli.main(["tune", "--resume", "broken", "--eval-trials", "4"]) == 0
    assert rows(tmp_path / "broken") == rows(tmp_path / "whole")


def test_ctrl_c_is_resumable(tmp_path: Path) -> None:
    words = [
        "tune",
        "PickCup",
        "--rig",
        "landscape",
        "--agent",
        "cem",
        "--episodes",
        "4000",
        "--no-eval",
        "--out",
        "run",
    ]
    command = [sys.executable, "-m", "deft_experiments.cli", *words, "--keep-frames", "none"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    deadline = time.monotonic() + 120
    for line in process.stderr:
        if line.startswith("fine-tuning: ") or time.monotonic() > deadline:
            break
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
    assert process.wait(timeout=60) == cli.EXIT_INTERRUPTED, said
    assert "go on with: deft tune --resume run" in said
    with Store(tmp_path / "run") as store:
        assert 0 < len(store.events(store.runs()[0])) < 4000 * 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tune"], "TASK is missing"),
        (["tune", "PickCap"], "Did you mean 'PickCup'?"),
        (["tune", "PickCup", "--agent", "cen"], "unknown search 'cen'"),
        (["tune", "PickCup", "--agent", "cem+nothing"], "unknown policy 'nothing'"),
        (["tune", "PickCup", "--agent-config", "elites=0"], "elites"),
        (["tune", "PickCup", "--agent-config", "colour=1"], "unknown option 'colour'"),
        (["tune", "PickCup", "--rig", "landscape", "--rig-config", "slope=1"], "no option 'slope'"),
        (["tune", "PickCup", "--rig", "moon"], "unknown rig 'moon'"),
        (["tune", "PickCup", "--prior", "oracle"], "unknown prior 'oracle'"),
        (["tune", "PickCup", "--reward", "gold"], "unknown reward 'gold'"),
        (["tune", "PickCup", "--seed", "-1"], "seed: expected an integer >= 0"),
        (["tune", "PickCup", "--episodes", "0"], "episodes: expected an integer in 1"),
        (["tune", "PickCup", "--rig", "landscape", "--eval-trials", "0"], "--eval-trials: expected at least 1"),
        (["tune", "PickCup", "--rig", "landscape", "--eval-at", "31"], "--eval-at: expected numbers in 1 … 30, got 31"),
        (["tune", "PickCup", "--weights", "r3m=nowhere.safetensors"], "there is no file nowhere.safetensors"),
        (["tune", "--resume", "nowhere"], "there is no store here"),
        (["bench", "--seeds", "0"], "--seeds: expected at least 1, got 0"),
        (["bench", "--agents", "foo,cem,bar"], "unknown search 'bar'"),
        (["bench", "--agents", "foo,cem,bar"], "unknown search 'foo'"),
        (["bench", "--resume", "nowhere"], "expected a folder of `deft bench`"),
        (["report", "nowhere"], "there is no such folder"),
        (["lisst"], "Did you mean 'list'?"),
    ],
)
def test_bad_arguments(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) in (1, 2)
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def test_unknown_option_is_an_error() -> None:
    assert cli.main(["tune", "PickCup", "--colour", "red"]) == cli.EXIT_USAGE


def test_list_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"tasks", "agents", "rewards", "priors", "encoders", "rigs"}
    assert len(found["tasks"]) == 9
    assert {r["name"]: r["stand_in"] for r in found["rigs"]}["landscape"] is True
    assert next(a for a in found["agents"] if a["name"] == "deft")["summary"] == "cem+cvae"


def test_list_says_how_to_install_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from deft_experiments.commands import list_parts

    monkeypatch.setattr(list_parts, "_SDKS", {"hardware": ("no_such_module",)})
    assert cli.main(["list", "rigs"]) == 0
    assert "pip install -c constraints.txt -e '.[hardware]'" in " ".join(capsys.readouterr().out.split())


def test_doctor_knows_the_shipped_weights() -> None:
    from deft_experiments.commands import doctor

    found = {f.name: f for f in doctor.weights({})}
    assert found["weights affordance"].verdict == "ok"
    assert "is shipped" in found["weights affordance"].detail
    assert found["weights choice"].verdict == found["weights time-contrastive"].verdict == "ok"
    assert found["weights r3m"].verdict == "missing"


def test_doctor_names_one_fix_for_each_gap(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from deft_experiments.commands import doctor

    monkeypatch.setattr(doctor, "_RENDER", "raise SystemExit('libEGL.so.1: cannot open shared object file')")
    assert cli.main(["doctor", "--json"]) == 1
    findings = {f["name"]: f for f in json.loads(capsys.readouterr().out)}
    gl = findings["rendering (GL)"]
    assert gl["verdict"] == "broken"
    assert gl["fix"].startswith("sudo apt-get install -y libegl1")
    assert findings["networks"]["verdict"] == "ok"
    assert cli.main(["doctor", "--gl"]) == 1
    assert "mend it with: sudo apt-get install" in capsys.readouterr().out


def test_bench_any_number_of_workers_gives_the_same_rows(tmp_path: Path) -> None:
    outputs = []
    for workers in (1, 2):
        done = deft(*BENCH, "--workers", workers, "--out", f"w{workers}", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        outputs.append(json.loads(done.stdout))
    assert rows(tmp_path / "w1") == rows(tmp_path / "w2")
    assert outputs[0]["cells"] == outputs[1]["cells"]
    names = {(c["search"], c["policy"], c["after"]) for c in outputs[0]["cells"]}
    assert names == {
        ("", "prior", 0),
        *(
            (s, p, a)
            for s, p in (("cem", "elite-mean"), ("cem", "recommend"), ("random", "best-seen"))
            for a in (5, 11)
        ),
    }
    with Store(tmp_path / "w1") as store:
        assert len(store.runs()) == 2 * 2 * 2, "agents that share a search share its run"
    assert not (tmp_path / "w2" / "shards").exists()
    assert "sweep" in (tmp_path / "w1" / "report.html").read_text()


def test_bench_goes_on_after_kill_9(tmp_path: Path) -> None:
    assert deft(*BENCH, "--out", "whole", cwd=tmp_path).returncode == 0
    command = [sys.executable, "-m", "deft_experiments.cli", *BENCH, "--workers", "2", "--out", "killed"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("episodes: "):
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    done = deft("bench", "--resume", "killed", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")


def test_a_killed_worker_costs_no_row(tmp_path: Path) -> None:
    assert deft(*BENCH, "--out", "whole", cwd=tmp_path).returncode == 0
    # The first worker of the first shard dies when its store has some events; the flag file lets its successor live.
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'spawn_main' in ' '.join(sys.orig_argv):\n"
        "    from deft_experiments.store import Store\n"
        "    append, seen = Store.append, [0]\n"
        "    def deadly(self, event):\n"
        "        seen[0] += 1\n"
        "        if seen[0] == 40 and self.path.name == '000.sqlite' and not os.path.exists('died'):\n"
        "            open('died', 'w').close()\n"
        "            os.kill(os.getpid(), 9)\n"
        "        append(self, event)\n"
        "    Store.append = deadly\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(hook), os.environ.get("PYTHONPATH", "")])}
    done = deft(*BENCH, "--workers", "2", "--out", "died-once", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "died").exists()
    assert rows(tmp_path / "died-once") == rows(tmp_path / "whole")


def test_report_again_keeps_the_film_strips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([*TUNE, "--out", "run"]) == 0
    first = (tmp_path / "run" / "report.html").read_text()
    assert "best episode" in first
    assert cli.main(["report", "run", "--out", "again.html"]) == 0
    assert (tmp_path / "again.html").read_text() == first


def test_the_hash_of_shipped_weights_is_part_of_a_run() -> None:
    from deft_env.prior.affordance import weights_file as affordance
    from deft_env.prior.choice import weights_file as choice
    from deft_experiments.config import RunConfig, file_hash, with_shipped

    plain = RunConfig("PickCup")
    assert with_shipped(plain) is plain  # it reads none
    made = with_shipped(RunConfig("PickCup", prior="affordance", encoder="time-contrastive"))
    # The files that the parts read where no others are given, and all of them.
    assert made.weights["affordance"] == file_hash(affordance(None))
    assert made.weights["choice"] == file_hash(choice(None))
    assert set(made.weights) == {"affordance", "choice", "time-contrastive"}
    given = with_shipped(RunConfig("PickCup", prior="affordance", weights={"affordance": "0" * 64}))
    assert given.weights["affordance"] == "0" * 64
    assert given.run_id != made.run_id


def test_a_run_with_other_shipped_weights_is_not_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from deft_experiments import config as cfg

    out = str(tmp_path / "run")
    options = ["--rig", "landscape", "--encoder", "time-contrastive", "--episodes", "2", "--no-eval"]
    assert cli.main(["tune", "PickCup", *options, "--out", out]) == 0
    assert cli.main(["tune", "--resume", out, "--no-eval"]) == 0
    monkeypatch.setattr(cfg, "_shipped_hash", lambda path: "0" * 64)
    capsys.readouterr()
    assert cli.main(["tune", "--resume", out, "--no-eval"]) == 2
    assert "its weights were others: time-contrastive" in " ".join(capsys.readouterr().err.split())
