"""What the summary of a run says of its first and last episodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from deft_experiments import summary, terminal


@pytest.mark.parametrize(("episodes", "each"), [(6, 2), (11, 3), (20, 6), (30, 10), (100, 10)])
def test_ends_never_share_an_episode(episodes: int, each: int) -> None:
    ends = summary._ends([False] * each + [True] * (episodes - each))
    assert ends == {"each": each, "first": 0.0, "last": 1.0}


def test_the_line_says_how_many(capsys: pytest.CaptureFixture[str]) -> None:
    for count, said in ((9, "first 3 episodes 0.00, last 3 1.00"), (5, ""), (0, "")):
        ends = summary._ends([False] * 3 + [True] * (count - 3)) if count else summary._ends([])
        terminal.show_run({"training": {"success_ends": ends}, "evaluation": [], "words": ""}, Path("f"))
        out = capsys.readouterr().out
        assert said in out
        assert ("fine-tuning success" in out) == bool(said)
