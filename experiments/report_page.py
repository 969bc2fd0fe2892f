"""The report: one self-contained HTML page (no network), readable on paper."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from deft_experiments import figures, terminal

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
img { max-width: 100%; } table { border-collapse: collapse; } caption { text-align: left; color: #555; }
table { font-size: .85rem; } .wide { overflow-x: auto; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #ccc; text-align: left; vertical-align: top; }
td { font-variant-numeric: tabular-nums; }
pre { background: #f4f4f4; padding: .75rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.stand-in { background: #fff3cd; border-left: .4rem solid #d39e00; padding: .5rem 1rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(26rem, 1fr)); gap: 0 1.5rem; }
figure { margin: 1rem 0; } figcaption { color: #555; font-size: .9rem; }
@media print {
  body { margin: 0; padding: 0; max-width: none; font-size: 11pt; } h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; } .wide { overflow: visible; } table { font-size: 7.5pt; }
  th, td { padding: .1rem .35rem; } .grid { grid-template-columns: 1fr 1fr; } pre { font-size: 8pt; }
}
"""


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """A film strip: caption, PNG, the episode's reward."""

    caption: str
    picture: bytes
    reward: float | None


def _e(text: object) -> str:
    return html.escape(str(text))


def image(data: bytes, alt: str, caption: str = "") -> str:
    """A PNG inside the page."""
    encoded = base64.b64encode(data).decode()
    return (
        f'<figure><img alt="{_e(alt)}" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{_e(caption or alt)}</figcaption></figure>"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str) -> str:
    """An HTML table."""
    lines = ["<tr>" + "".join(f"<td>{_e(c)}</td>" for c in row) + "</tr>" for row in rows]
    return (
        f'<div class="wide"><table><caption>{_e(caption)}</caption><thead><tr>'
        + "".join(f'<th scope="col">{_e(h)}</th>' for h in head)
        + "</tr></thead><tbody>"
        + "".join(lines)
        + "</tbody></table></div>"
    )


def page(title: str, sections: Sequence[tuple[str, str]], stand_ins: Sequence[str]) -> str:
    """Puts (heading, HTML) sections on one page."""
    note = ""
    if stand_ins:
        note = f'<p class="stand-in">Stand-ins, not the real thing: {_e(", ".join(stand_ins))}.</p>'
    body = "".join(f"<section><h2>{_e(heading)}</h2>{content}</section>" for heading, content in sections if content)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_e(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>{_e(title)}</h1>{note}{body}</body></html>\n"
    )


def evaluation(cells: Sequence[Mapping[str, Any]], caption: str) -> str:
    """A table of successes, one row a cell; priors and rewards that are the same everywhere are left out."""
    columns: dict[str, Callable[[Mapping[str, Any]], object]] = {
        "task": lambda c: c["task"],
        "agent": terminal.agent_name,
        "prior": lambda c: c["prior"],
        "reward": lambda c: c["reward"] or "–",
        "episodes": lambda c: c["after"],
        "objects": lambda c: c["split"],
        "seeds × trials": lambda c: f"{c['seeds']} × {c['trials']}",
        "success [95 %]": terminal.percent,
        "score": lambda c: "–" if c["mean_score"] is None else f"{c['mean_score']:.2f}",
        "paper": terminal.paper_cell,
    }
    same = [n for n in ("prior", "reward") if len({columns[n](c) for c in cells} - {"–"}) <= 1]
    shown = {n: of for n, of in columns.items() if n not in same}
    rows = [[str(of(c)).replace(" ", "\u00a0") for of in shown.values()] for c in cells]
    return table(tuple(shown), rows, caption)


def environment(provenance: Mapping[str, Any]) -> str:
    """The command, the commit, versions and machine."""
    command = f"<pre>{_e(provenance['command'])}</pre>" if provenance.get("command") else ""
    rest = {k: v for k, v in provenance.items() if k != "command"}
    return f"{command}<pre>{_e(json.dumps(rest, indent=1, sort_keys=True))}</pre>"


def of_run(result: Mapping[str, Any], curve_png: bytes, strips: Sequence[Strip], provenance: Mapping[str, Any]) -> str:
    """The page of one run (``summary.of_run``)."""
    training = result["training"]
    films = "".join(
        image(s.picture, s.caption, f"{s.caption}, reward {s.reward:.2f}" if s.reward is not None else "")
        for s in strips
    )
    goals: dict[str, list[bool]] = {}
    for episode in training["subgoals"]:
        for name, reached in episode:
            goals.setdefault(name, []).append(reached)
    subgoals = table(
        ("sub-goal", "reached"), [(n, f"{sum(r)} of {len(r)}") for n, r in goals.items()], "fine-tuning episodes"
    )
    successes = evaluation(
        result["evaluation"],
        "success with the 95 % Wilson interval of this frozen policy on independent scenes; the paper: 10 real trials, "
        "p: probability of a count as unlikely as the paper's under ours",
    )
    sections = [
        ("Summary", f"<p>{_e(result['words'] or 'No evaluation was asked for.')}</p>"),
        ("Learning curve", image(curve_png, "reward of each fine-tuning episode")),
        ("Evaluation", successes if result["evaluation"] else ""),
        ("Films", films),
        ("Sub-goals", subgoals if goals else ""),
        (
            "Residuals",
            image(
                figures.residual_groups(training["residuals"]),
                "residuals of each episode by group, in sigma; black: mean and spread of the last ten",
            ),
        ),
        ("Command and environment", environment(provenance)),
        ("Configuration", f"<pre>{_e(json.dumps(result['config'], indent=1, sort_keys=True))}</pre>"),
    ]
    return page(f"DEFT: {terminal.title(result)}", sections, result["stand_ins"])
