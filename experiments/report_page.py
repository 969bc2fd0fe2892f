"""The report: one self-contained HTML page (no network), readable on paper."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from deft_experiments import figures, terminal

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
img { max-width: 100%; } table { border-collapse: collapse; } caption { text-align: left; color: #555; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #ccc; text-align: left; font-variant-numeric: tabular-nums; }
pre { background: #f4f4f4; padding: .75rem; white-space: pre-wrap; overflow-wrap: anywhere; }
.stand-in { background: #fff3cd; border-left: .4rem solid #d39e00; padding: .5rem 1rem; }
figure { margin: 1rem 0; } figcaption { color: #555; font-size: .9rem; }
@media print { body { margin: 0; max-width: none; } h2 { break-after: avoid; } figure, table { break-inside: avoid; } }
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
        f"<table><caption>{_e(caption)}</caption><thead><tr>"
        + "".join(f'<th scope="col">{_e(h)}</th>' for h in head)
        + "</tr></thead><tbody>"
        + "".join(lines)
        + "</tbody></table>"
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


def evaluation_rows(cells: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """One row a cell for a table of successes."""
    return [
        [
            c["task"],
            terminal.agent_name(c),
            c["prior"],
            c["reward"] or "–",
            c["after"],
            c["split"],
            f"{c['seeds']} × {c['trials']}",
            terminal.percent(c).replace(" ", "\u00a0"),
            "–" if c["mean_score"] is None else f"{c['mean_score']:.2f}",
            terminal.paper_cell(c).replace(" ", "\u00a0"),
        ]
        for c in cells
    ]


EVALUATION_HEAD: Final = (
    "task",
    "agent",
    "prior",
    "reward",
    "episodes",
    "objects",
    "seeds × trials",
    "success",
    "score",
    "paper",
)


def environment(provenance: Mapping[str, Any]) -> str:
    """The command, the commit, versions and machine."""
    command = f"<pre>{_e(provenance.get('command', ''))}</pre>"
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
    evaluation = table(
        EVALUATION_HEAD,
        evaluation_rows(result["evaluation"]),
        "success with the 95 % Wilson interval of this frozen policy on independent scenes; the paper: 10 real trials, "
        "p: probability of a count as unlikely as the paper's under ours",
    )
    sections = [
        ("Summary", f"<p>{_e(result['words'] or 'No evaluation was asked for.')}</p>"),
        ("Learning curve", image(curve_png, "reward of each fine-tuning episode")),
        ("Evaluation", evaluation if result["evaluation"] else ""),
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
