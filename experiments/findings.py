"""Which of the paper's findings hold here, tested on paired differences over seeds and said in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from deft_env import paper
from deft_experiments import rates, statistics
from deft_experiments.tables import Row, Table, TableCell, method

LEVEL: Final = 0.05
DEFT: Final = "DEFT"


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison of two rows of a table, pooled over its tasks.

    Attributes:
        better, worse: the rows, in the order in which the paper has them.
        split: the objects.
        paper: the paper's pooled difference.
        ours: our mean paired difference over seeds with its interval; None where a row did not run.
        p: two-sided, after Holm's correction over the findings of the table; None as above.
        verdict: ``holds``, ``reversed``, ``open`` (our interval does not decide) or ``not run``.
    """

    better: str
    worse: str
    split: str
    paper: float
    ours: statistics.Interval | None
    p: float | None
    verdict: str


def findings(table: Table, found: rates.Rates, after: int = paper.EPISODES) -> list[Finding]:
    """The paper's orderings of DEFT and every other row, on both splits, tested with our seeds."""
    deft = next(row for row in table.rows if row.name == DEFT)
    pairs = [
        (row, split)
        for row in table.rows
        if row.published and row.name != DEFT
        for split in ("train", "test")
        if _paper(table, row, split) is not None
    ]
    tests = [_test(table, deft, row, split, found, after) for row, split in pairs]
    p_values = [p for _, p in tests if p is not None]
    adjusted = iter(statistics.holm(p_values)) if p_values else iter(())
    out = []
    for (row, split), (interval, p) in zip(pairs, tests, strict=True):
        said = _paper(table, row, split)
        assert said is not None
        better, worse = (DEFT, row.name) if said >= 0 else (row.name, DEFT)
        if interval is not None and said < 0:
            interval = statistics.Interval(-interval.estimate, -interval.high, -interval.low)
        corrected = None if p is None else float(next(adjusted))
        out.append(Finding(better, worse, split, abs(said), interval, corrected, _verdict(interval, corrected)))
    return out


def _verdict(interval: statistics.Interval | None, p: float | None) -> str:
    if interval is None:
        return "not run"
    if p is None or p >= LEVEL:
        return "open"
    return "holds" if interval.estimate > 0 else "reversed"


def _paper(table: Table, row: Row, split: str) -> float | None:
    """The paper's DEFT − row over the tasks of this table that it reports."""
    shared = [t for t in table.tasks if t in table.published[DEFT] and t in table.published[row.published]]
    if not shared:
        return None
    ours, other = table.published[DEFT], table.published[row.published]
    return float(np.mean([getattr(ours[t], split) - getattr(other[t], split) for t in shared]))


def _test(
    table: Table, a: Row, b: Row, split: str, found: rates.Rates, after: int
) -> tuple[statistics.Interval | None, float | None]:
    x, y = rates.side_by_side(
        rates.pooled(found, method(a, after), table.tasks, split),
        rates.pooled(found, method(b, after), table.tasks, split),
    )
    if not len(x):
        return None, None
    if len(x) < 2:
        return statistics.Interval(float(x[0] - y[0]), -1.0, 1.0), None
    compared = statistics.paired(x, y)
    # No test by seeds can be surer than flipping the signs of all of them: few seeds that agree are no proof.
    d = compared.difference
    held = statistics.Interval(d.estimate, max(-1.0, d.low), min(1.0, d.high))
    return held, max(compared.p, 2.0 ** (1 - len(x)))


def words(table: Table, found: Sequence[Finding], cells: Sequence[TableCell]) -> str:
    """The closing paragraph of a table."""
    sentences = []
    verdicts = (
        ("holds", False, "Of the paper's findings these hold here"),
        ("reversed", False, "These come out the other way round"),
        ("open", True, "These are not seen here, and a difference of the paper's size lies outside our interval"),
        ("open", False, "These our seeds do not decide"),
    )
    for verdict, smaller, opening in verdicts:
        said = [_sentence(f) for f in found if f.verdict == verdict and (verdict != "open" or _smaller(f) == smaller)]
        if said:
            sentences.append(f"{opening}: {'; '.join(said)}.")
    idle = sorted({f.worse if f.worse != DEFT else f.better for f in found if f.verdict == "not run"})
    reasons = {row.name: row.missing for row in table.rows if row.missing}
    if idle:
        sentences.append("Not run: " + "; ".join(f"{n} ({reasons.get(n, 'no episodes')})" for n in idle) + ".")
    train, test = (
        [c.rate for c in cells if c.row == DEFT and c.split == split and c.rate is not None]
        for split in ("train", "test")
    )
    if train and test:
        sentences.append(
            f"On new objects DEFT reaches {np.mean(test):.2f} against {np.mean(train):.2f} "
            f"on those it was tuned on{_paper_drop(table)}."
        )
    compared = [c.paper_p for c in cells if c.paper_p is not None]
    if compared:
        far = sum(p < LEVEL for p in compared)
        sentences.append(
            f"The paper's ten trials are plausible under our distribution (p ≥ {LEVEL}) in "
            f"{len(compared) - far} of {len(compared)} cells."
        )
    return " ".join(sentences)


def _smaller(f: Finding) -> bool:
    return f.ours is not None and f.p is not None and f.ours.high < f.paper


def _paper_drop(table: Table) -> str:
    own = [table.published[DEFT][t] for t in table.tasks if t in table.published[DEFT]]
    if not own:
        return ""
    return f" (paper: {np.mean([c.test for c in own]):.2f} against {np.mean([c.train for c in own]):.2f})"


def _sentence(f: Finding) -> str:
    assert f.ours is not None
    p = "one seed" if f.p is None else f"p = {f.p:.2g}"
    return (
        f"{f.better} above {f.worse} on {f.split} objects "
        f"({f.ours.estimate:+.2f} [{f.ours.low:+.2f}, {f.ours.high:+.2f}], {p}; paper {f.paper:+.2f})"
    )
