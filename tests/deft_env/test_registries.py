"""Registries: names, families, entry points, and how parts are made."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from deft_env import registries
from deft_env.registry import Entry, Registry, UnknownNameError


@dataclass(frozen=True, slots=True)
class _Knobs:
    size: int = 1


class _Configured:
    Config = _Knobs

    def __init__(self, config: _Knobs | None = None) -> None:
        self.config = config or _Knobs()


class _Plain:
    def __init__(self, size: int = 1, weights: Mapping[str, str | Path] | None = None) -> None:
        self.size, self.weights = size, weights


@pytest.fixture
def parts() -> Registry:
    registry = Registry("part", "deft.nothing-has-this-group")
    registry.register(Entry("configured", _Configured))
    registry.register(Entry("plain", _Plain))
    registry.register(Entry("needy", "deft_env.no_such_module:Part", extra="vision"))
    registry.register(Entry("lab", _Plain), family=True)
    return registry


def test_a_name_can_be_taken_once(parts: Registry) -> None:
    with pytest.raises(ValueError, match="already registered"):
        parts.register(Entry("plain", _Plain))


def test_unknown_names_list_what_there_is(parts: Registry) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown part 'plane'; there are: .*plain.*Did you mean 'plain'\?"):
        parts.entry("plane")
    assert issubclass(UnknownNameError, KeyError)


def test_families_answer_to_any_member(parts: Registry) -> None:
    assert parts.entry("lab:anything").target is _Plain
    with pytest.raises(UnknownNameError):
        parts.entry("lab")
    assert parts.names() == ["configured", "needy", "plain"]


def test_a_missing_library_names_the_extra(parts: Registry) -> None:
    with pytest.raises(ImportError, match=r"pip install 'deft-hand\[vision\]'"):
        parts.load("needy")


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("deft_env.no_such_module:Part", "cannot be imported: No module named"),
        ("deft_env.grasp:NoSuchPart", "cannot be imported: .* has no attribute 'NoSuchPart'"),
        ("deft_env.grasp:DIM", "expected a class or function, got 22"),
    ],
)
def test_a_broken_registration_says_where_it_points(parts: Registry, target: str, complaint: str) -> None:
    parts.register(Entry("broken", target))
    with pytest.raises(ImportError, match=f"'broken' is registered as '{target}'.*{complaint}"):
        parts.load("broken")


def _install(folder: Path, package: str, group: str, *points: str) -> None:
    """What pip leaves of a package: its name and its entry points."""
    info = folder / f"{package}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *points]))


def test_a_name_that_two_packages_want_is_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path, "theirs", "deft.parts", "plain = theirs:Part", "own = theirs:Own")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry("part", "deft.parts")
    registry.register(Entry("plain", _Plain))
    with pytest.warns(UserWarning, match=r"part 'plain' \(theirs:Part\) is left out: the name belongs to .*_Plain"):
        assert registry.names() == ["own", "plain"]
    assert registry.load("plain") is _Plain


def test_a_package_that_is_found_twice_is_no_conflict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    for package in ("installed", "on-the-path"):
        _install(tmp_path, package, "deft.parts", "own = theirs:Own")
    monkeypatch.syspath_prepend(tmp_path)
    assert Registry("part", "deft.parts").names() == ["own"]
    assert not recwarn.list


def test_parts_are_made_with_their_options(parts: Registry) -> None:
    assert registries.build(parts, "configured", {"size": 3}).config.size == 3
    made = registries.build(parts, "plain", {"size": 3}, {"net": "x"})
    assert (made.size, made.weights) == (3, {"net": "x"})
    assert registries.takes_weights(parts, "plain")
    assert not registries.takes_weights(parts, "configured")


@pytest.mark.parametrize("name", ["configured", "plain"])
def test_unknown_options_are_errors(parts: Registry, name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name}.*no option 'colour'.*size"):
        registries.build(parts, name, {"colour": 1})


def test_entry_points_are_found() -> None:
    assert registries.rigs.entry("landscape").target == "deft_mocks.landscape:LandscapeRig"


def test_the_nine_tasks_are_registered() -> None:
    assert set(registries.TASK_WORDS) <= set(registries.tasks.names())
    assert len(registries.TASK_WORDS) == 9
    assert registries.tasks.entry("PickCup").target == "deft_env.tasks.pick_cup:PickCup"
    assert registries.snake("SqueezeLemon") == "squeeze_lemon"


def test_stand_ins_say_so() -> None:
    assert registries.priors.entry("simulated").stand_in
    assert registries.make_prior("simulated").stand_in
    assert registries.make_rig("landscape").stand_in
