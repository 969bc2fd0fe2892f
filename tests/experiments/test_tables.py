"""Tables 2 and 3, figures, leaderboard and cost, from small stores; and bad input to the commands that run sweeps."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deft_experiments import (
    cli,
    cost,
    findings,
    leaderboard,
    paper_figures,
    paper_results,
    rates,
    statistics,
    sweep,
    table_formats,
    tables,
)
from deft_experiments.config import RunConfig
from deft_experiments.errors import StoreFullError, StoreLockedError
from deft_experiments.rates import Record
from deft_experiments.store import Store

SMALL = (
    "--rig",
    "landscape",
    "--seeds",
    "2",
    "--trials",
    "2",
    "--tasks",
    "PickCup",
    "--workers",
    "1",
    "--episodes",
    "11",
)


def filled(table: tables.Table, of: Any, seeds: int = 20, trials: int = 20) -> rates.Rates:
    """Rates made up by ``of(row, task, split, seed)``."""
    return {
        (tables.method(row), task, split): {
            seed: Record(f"{row.name}-{task}-{seed}", seed, round(of(row.name, task, split, seed) * trials), trials)
            for seed in range(seeds)
        }
        for row in table.rows
        if not row.missing
        for task in table.tasks
        for split in ("train", "test")
    }


def papers_own(table: tables.Table) -> Any:
    def of(row: str, task: str, split: str, seed: int) -> float:
        rate = float(getattr(table.published[row][task], split))
        return float(np.clip(rate + 0.1 * (-1) ** seed, 0.0, 1.0))

    return of


def test_a_table_is_one_shared_sweep() -> None:
    table = tables.table(3)
    base = RunConfig("PourCup", rig="landscape")
    plan = tables.plan(table, base, seeds=2, trials=3)
    assert len(plan.jobs) == 3 * 2, "three tasks, two seeds; every policy is fitted to the same search"
    assert plan.jobs[0].policies == ("mlp", "transformer", "direct", "cvae")
    two = tables.plan(tables.table(2), base, seeds=2, trials=3)
    shared = {j.config.run_id for j in two.jobs} & {j.config.run_id for j in plan.jobs}
    assert shared == {j.config.run_id for j in plan.jobs}, "DEFT's runs of table 3 are those of table 2"
    assert {j.prior for j in two.jobs if j.config.prior == "heuristic"} == {False}
    assert tables.table(2, all_tasks=True).tasks[-1] == "SqueezeLemon"


def test_reward_rows_run_only_with_weights(tmp_path: Path) -> None:
    without = {row.name: row.missing for row in tables.table(3).rows}
    assert without["R3M reward"] == "weights absent: give --weights r3m=PATH"
    weights = {"r3m": tmp_path / "r3m.safetensors"}
    weights["r3m"].write_bytes(b"x")
    table = tables.table(3, weights=weights, stand_ins=True)
    absent = {r.name: r.missing for r in table.rows if r.missing}
    assert list(absent) == ["ResNet18 ImageNet reward"], "the small encoder's weights come with the package"
    assert "stand-in" in next(r.name for r in table.rows if r.reward == "resnet18-random")
    assert {r.published for r in table.rows if "stand-in" in r.name or "synthetic" in r.name} == {""}
    plan = tables.plan(table, RunConfig("PourCup"), seeds=1, trials=1, weights=weights)
    read = {(j.config.reward, tuple(j.config.weights)) for j in plan.jobs}
    # Shipped files, of which later versions may have others.
    own = {(name, (name,)) for name in ("time-contrastive", "success-detector")}
    assert read == {("r3m", ("r3m",)), *own, ("resnet18-random", ()), ("oracle", ())}


def test_the_small_network_has_rows_of_its_own(tmp_path: Path) -> None:
    table = tables.table(2, stand_ins=True)
    own = [r for r in table.rows if r.prior == "affordance"]
    assert [(r.policy, r.published) for r in own] == [("prior", ""), ("cvae", "")]
    plan = tables.plan(table, RunConfig("PickCup"), seeds=1, trials=1)
    assert {(j.config.prior, j.prior) for j in plan.jobs} == {
        ("heuristic", False),
        ("simulated", True),
        ("affordance", True),
    }
    cells = tables.cells(table, filled(table, lambda *place: 0.5))
    assert all(c.paper is None for c in cells if "synthetic videos" in c.row), "never beside the paper's figure"
    assert not any(r.prior == "affordance" for r in tables.table(2).rows)


def test_the_papers_own_numbers_hold() -> None:
    table = tables.table(2)
    found = filled(table, papers_own(table))
    cells = tables.cells(table, found)
    cup = next(c for c in cells if (c.row, c.task, c.split) == ("DEFT", "PickCup", "train"))
    assert cup.rate == pytest.approx(0.8)
    assert (cup.paper, cup.seeds, cup.trials) == (8, 20, 20)
    assert cup.paper_p == pytest.approx(statistics.beta_binomial_p([0.9, 0.7] * 10, 20, 8))
    tested = findings.findings(table, found)
    assert {f.verdict for f in tested} == {"holds"}
    assert len(tested) == 4
    text = findings.words(table, tested, cells)
    assert text.startswith("Of the paper's findings these hold here: DEFT above Real-world only on train objects")
    assert "paper: 0.58 against 0.73" in text


def test_turned_round_and_undecided_findings_are_said() -> None:
    table = tables.table(2)
    turned = filled(table, lambda row, task, split, seed: 0.1 + 0.1 * (seed % 2) + (0.5 if row != "DEFT" else 0.0))
    assert {f.verdict for f in findings.findings(table, turned)} == {"reversed"}
    g = np.random.default_rng(0)
    noise = filled(table, lambda *place: g.random(), seeds=4)
    assert {f.verdict for f in findings.findings(table, noise)} == {"open"}
    same = filled(table, lambda row, task, split, seed: 0.1 + 0.1 * (seed % 3))
    tested = findings.findings(table, same)
    assert "a difference of the paper's size lies outside" in findings.words(table, tested, tables.cells(table, same))
    few = filled(table, papers_own(table), seeds=2)
    assert {f.verdict for f in findings.findings(table, few)} == {"open"}, "two seeds prove nothing"
    absent = {place: of for place, of in turned.items() if place[0].prior != "heuristic"}
    tested = findings.findings(table, absent)
    assert {f.verdict for f in tested if f.worse == "Real-world only"} == {"not run"}
    assert "Not run: Real-world only" in findings.words(table, tested, tables.cells(table, absent))


def test_formats_say_the_same() -> None:
    table = tables.table(3)
    cells = tables.cells(table, filled(table, papers_own(table)))
    markdown, latex = table_formats.markdown(table, cells, "Closing."), table_formats.latex(table, cells)
    for text in (markdown, latex):
        assert "weights absent: give --weights r3m=PATH" in text
        assert "0.80 [" in text
        assert "8/10, p = " in text
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 2 + 2 + 4 * 2
    assert latex.count(r"\\") >= len(lines) - 1
    rows = list(csv.DictReader(io.StringIO(table_formats.comma_separated(cells))))
    assert len(rows) == len(cells) == 6 * 3 * 2
    assert rows[0]["rate"] == ""


def test_figures_hold_the_papers_points() -> None:
    six = paper_figures.figure(6)
    assert paper_figures.published(6, "PickCup", "DEFT", 30) == 0.8
    assert paper_figures.published(6, "PickCup", "Real-world only", 20) == 0.1
    assert paper_figures.published(7, "FlipBagel", "Affordance only", 0) == 0.3
    assert paper_figures.published(6, "FlipBagel", "DEFT", 30) is None
    found = {
        (tables.method(row, n), task, "train"): {s: Record("r", s, 2 + s, 10) for s in range(3)}
        for row in six.rows
        for task in six.tasks
        for n in (10, 20, 30)
    }
    points = paper_figures.points(six, found, (10, 20, 30))
    assert len(points) == 6 * 2 * 3
    assert [p.paper for p in points[:3]] == list(paper_results.FIGURE_6["PickCup"]["DEFT"])
    drawn = paper_figures.draw(six, points, (10, 20, 30))
    assert drawn["png"].startswith(b"\x89PNG")
    assert drawn["pdf"].startswith(b"%PDF")
    assert b"<svg" in drawn["svg"]
    assert paper_figures.draw(six, points, (10, 20, 30)) == drawn, "the same bytes again"


def test_table_command_end_to_end_and_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "t"
    assert cli.main(["table", "2", *SMALL, "--out", str(folder), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {c["seeds"] for c in result["cells"]} == {2}
    for suffix in ("md", "tex", "csv", "json"):
        assert (folder / f"table-2.{suffix}").stat().st_size > 100
    with Store(folder) as store:
        before = {run: len(store.events(run)) for run in store.runs()}
        spent = cost.cost(store, store.runs())
        assert (spent.runs, spent.episodes, spent.resets, spent.operator_s) == (4, 11, 11, 11 * 120)
        assert spent.modelled
    assert cli.main(["table", "2", "--resume", str(folder), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["cells"] == result["cells"]
    with Store(folder) as store:
        assert {run: len(store.events(run)) for run in store.runs()} == before, "nothing ran twice"
    entries = leaderboard.build(leaderboard.stores([tmp_path]), after=11).entries
    assert {(e.name, e.prior) for e in entries} == {
        ("cem+cvae", "simulated"),
        ("cem+cvae", "heuristic"),
        ("prior alone", "simulated"),
    }
    best = max(e.success.estimate for e in entries if e.success)
    assert entries[0].success is not None
    assert entries[0].success.estimate == best
    assert all(e.commands for e in entries)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["table", "2", "--seeds", "0", "--tasks", "PickCupp,Foo"], "--seeds: expected at least 1, got 0"),
        (["table", "2", "--seeds", "0", "--tasks", "PickCupp,Foo"], "Foo"),
        (["table", "2", "--trials", "0"], "--trials: expected at least 1, got 0"),
        (["table", "3", "--workers", "-1"], "--workers: expected a number >= 0"),
        (["table", "3", "--weights", "r3m=nowhere.pt"], "there is no file nowhere.pt"),
        (["table", "2", "--prior", "nonsense"], "unknown prior 'nonsense'"),
        (["table", "2", "--heuristic", "nonsense"], "unknown prior 'nonsense'"),
        (["table", "2", "--resume", "nowhere"], "expected a folder of `deft table 2`"),
        (["figure", "6", "--at", "10", "40"], "--at: expected numbers in 1 … 30"),
        (["compare", "cem", "cem"], "expected two agents"),
        (["compare", "foo", "bar", "--tasks", "Baz"], "unknown search 'foo'"),
        (["compare", "foo", "bar", "--tasks", "Baz"], "unknown search 'bar'"),
        (["compare", "foo", "bar", "--tasks", "Baz"], "Baz"),
        (["compare", "cem", "random", "--until-decided", "--max-seeds", "3"], "--max-seeds: expected at least"),
        (["bench", "--agents", "foo,cem,bar", "--seeds", "1"], "unknown search 'bar'"),
        (["leaderboard", "nowhere"], "there is no such folder"),
        (["leaderboard", "."], "no evaluated runs in any store"),
        (["export", "nowhere"], "there is no such folder"),
        (["results", "--page-only"], "expected tables, figures or a benchmark"),
    ],
)
def test_bad_arguments_are_named_before_anything_runs(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == cli.EXIT_USAGE
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def _plan() -> sweep.Plan:
    base = RunConfig("PickCup", rig="landscape", episodes=4)
    return sweep.Plan(tuple(sweep.jobs(base, ["random+best-seen"], ["PickCup"], 2)), 1, (4,))


def test_two_sweeps_on_one_store(tmp_path: Path) -> None:
    with Store(tmp_path, "w"), pytest.raises(StoreLockedError, match="another process"):
        sweep.run_sweep(_plan(), tmp_path, 1, lambda n: None)
    sweep.run_sweep(_plan(), tmp_path, 1, lambda n: None)


def test_a_store_of_another_version_stops_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store(tmp_path, "w"):
        pass
    with sqlite3.connect(tmp_path / "store.sqlite") as db:
        db.execute("PRAGMA user_version=999")
    assert cli.main(["table", "2", *SMALL, "--out", str(tmp_path)]) == 1
    assert "written by a newer version (schema 999" in capsys.readouterr().err


def test_a_full_disk_in_mid_sweep_costs_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep.run_sweep(_plan(), tmp_path / "whole", 1, lambda n: None)
    append, left = Store.append, [12]

    def full(self: Store, event: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise StoreFullError(f"{self.path}: the disk is full; free some space and resume, nothing stored is lost")
        append(self, event)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "append", full)
        with pytest.raises(StoreFullError, match="the disk is full"):
            sweep.run_sweep(_plan(), tmp_path / "full", 1, lambda n: None)
    sweep.run_sweep(_plan(), tmp_path / "full", 1, lambda n: None)
    with Store(tmp_path / "whole") as a, Store(tmp_path / "full") as b:
        assert a.runs() == b.runs()
        for run in a.runs():
            assert [(e.seq, e.kind, e.payload) for e in a.events(run)] == [
                (e.seq, e.kind, e.payload) for e in b.events(run)
            ]
