"""What a person sees while and after a command runs: progress on standard error, tables on standard output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table


class Progress:
    """Progress bars where standard error is a terminal, plain lines where it is a file."""

    def __init__(self, *, bars: bool = True) -> None:
        """Opens nothing yet.

        Args:
            bars: False where a person is asked on the same terminal: bars are drawn over the question, and swallow it
                for as long as its line has no end.
        """
        self.console = Console(stderr=True)
        self._plain = not (bars and self.console.is_terminal)
        self._bars = Bars(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=self._plain,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Leaves the bars as they are."""
        self._bars.stop()

    def say(self, line: str) -> None:
        """One line above the bars."""
        self._bars.console.print(line, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, name: str, total: int, done: int = 0) -> Iterator[Callable[[int, str], None]]:
        """A bar; calling what it yields with (steps, note) moves it on."""
        task = self._bars.add_task(name, total=total, completed=done, note="")
        shown = [done, done]

        def advance(steps: int, note: str) -> None:
            self._bars.update(task, advance=steps, note=note)
            shown[0] += steps
            if self._plain and (shown[0] - shown[1] >= total / 10 or shown[0] >= total > shown[1]):
                shown[1] = shown[0]
                self.say(f"{name}: {shown[0]}/{total} {note}".rstrip())

        yield advance


def output() -> Console:
    """Standard output; wide enough for tables where it is a file."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def title(result: Mapping[str, Any]) -> str:
    """One line that names a run, stand-in rig included."""
    config = result["config"]
    rig = f"rig {config['rig']}" + (" (a stand-in)" if any(s.startswith("rig") for s in result["stand_ins"]) else "")
    return f"{config['task']}, {config['agent']}, {rig}, seed {config['seed']}"


def percent(cell: Mapping[str, Any]) -> str:
    """Rate and interval."""
    return f"{cell['success_rate']:.2f} [{cell['low']:.2f}, {cell['high']:.2f}]"


def paper_cell(cell: Mapping[str, Any]) -> str:
    """The paper's rate and the probability between it and ours; a dash where the paper gives none."""
    return "–" if cell["paper"] is None else f"{cell['paper']:.1f} (p = {cell['paper_p']:.2f})"


def agent_name(cell: Mapping[str, Any]) -> str:
    """``search+policy``, or the prior alone."""
    return f"{cell['search']}+{cell['policy']}" if cell["search"] else f"{cell['policy']} alone"


def evaluation_table(cells: Sequence[Mapping[str, Any]], caption: str) -> Table:
    """One row a cell, the paper's figures beside ours; columns that say the same everywhere are left out."""
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "task": lambda c: str(c["task"]),
        "agent": agent_name,
        "prior": lambda c: str(c["prior"]),
        "reward": lambda c: str(c["reward"] or "–"),
        "episodes": lambda c: str(c["after"]),
        "objects": lambda c: str(c["split"]),
        "success [95 %]": percent,
        "paper": lambda c: "–" if c["paper"] is None else f"{c['paper']:.1f}",
        "p": lambda c: "–" if c["paper"] is None else f"{c['paper_p']:.2f}",
    }
    always = ("agent", "episodes", "objects", "success [95 %]", "paper", "p")
    table = Table(title=caption, title_justify="left", box=None, pad_edge=False)
    shown = [n for n, of in columns.items() if n in always or len({of(c) for c in cells} - {"–"}) > 1]
    for name in shown:
        table.add_column(name.replace("[", "\\["), no_wrap=True)
    for cell in cells:
        table.add_row(*(columns[name](cell).replace("[", "\\[") for name in shown))
    return table


def show_run(result: Mapping[str, Any], folder: Path) -> None:
    """Prints the result of ``deft tune``."""
    console = output()
    ends = result["training"]["success_ends"]
    if ends is not None:
        console.print(
            f"fine-tuning success: first {ends['each']} episodes {ends['first']:.2f}, "
            f"last {ends['each']} {ends['last']:.2f}",
            highlight=False,
        )
    if result["evaluation"]:
        trials = result["evaluation"][0]["trials"]
        console.print(evaluation_table(result["evaluation"], f"success over {trials} trials a split (Wilson)"))
        console.print(
            "The paper: 10 trials on a real robot; p: probability of a count as unlikely as the paper's under ours.",
            highlight=False,
        )
    console.print(result["words"], highlight=False, markup=False)
    console.print(
        f"folder: {folder} (store, policies, learning_curve.png, report.html)", highlight=False, soft_wrap=True
    )
