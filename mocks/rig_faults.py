"""Everything that can go wrong at a rig, at random moments, and how each must be labelled: the fault matrix.

for fault in FAULTS:
    fault.inject(mock, person, generator)      # the scene is set, the episode about to be played
    ...                                        # label(outcome) must be in fault.labels
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from deft_env.episode import EpisodeKey, Frame, Outcome, Status
from deft_env.rigs.operator import Preparation, SceneRequest, Verdict
from deft_env.rigs.real.arm.errors import CONTROLLER_ERRORS
from deft_mocks.operators import ABORT, SILENCE, Answer, Late, given
from deft_mocks.rig import MockRig
from deft_mocks.rig_link import MockRigOperator
from deft_mocks.xarm.faults import Fault, Kind
from deft_mocks.xarm.wire import Register

COMPLETED, COLLISION, LIMIT, FAULTED, VOIDED = "completed", "failed: collision", "failed: limit", "faulted", "voided"
NO_SCENE, ABORTED, UNSCORED = "no scene", "aborted", "executed, unscored"
LAST_STEP: Final = 1000
"""World steps of the arm in an episode, its way there included; faults fall anywhere in them."""
LAST_TICK: Final = 110
LAST_COMMAND: Final = 165
"""Commands to the control box in the shortest episode that the matrix plays."""


class Person(MockRigOperator):
    """The mock rig's person with a script: what is in ``preparations`` and ``verdicts`` comes before the true answer.

    Attributes:
        on_scene: called when a scene is ready.
        said: the verdicts that were given, each with its episode.
    """

    def __init__(self, address: str, *, timeout_s: float = 60.0) -> None:
        """A person at the mock rig of this address."""
        super().__init__(address=address)
        self.timeout_s = timeout_s
        self.preparations: list[Answer] = []
        self.verdicts: list[Answer] = []
        self.on_scene: Callable[[], None] = lambda: None
        self.said: list[tuple[EpisodeKey, Verdict]] = []
        self.troubles: list[str] = []

    def _scripted(self, script: list[Answer]) -> Preparation | Verdict | None:
        scripted: Preparation | Verdict | None = given(script.pop(0) if script else None, self.timeout_s)
        return scripted

    def _prepare(self, scene: SceneRequest) -> Preparation:
        if scene.trouble:
            self.troubles.append(scene.trouble)
            return super()._prepare(scene)
        scripted = self._scripted(self.preparations)
        if isinstance(scripted, Preparation):
            return scripted
        ready = super()._prepare(scene)
        self.on_scene()
        return ready

    def _judge(self, before: Frame | None, outcome: Outcome) -> Verdict:
        scripted = self._scripted(self.verdicts)
        verdict = scripted if isinstance(scripted, Verdict) else super()._judge(before, outcome)
        self.said.append((outcome.key, verdict))
        return verdict


Inject = Callable[[MockRig, Person, np.random.Generator], None]


@dataclass(frozen=True, slots=True)
class RigFault:
    """One thing that goes wrong.

    Attributes:
        name: in the matrix.
        device: arm, hand, camera or person.
        inject: arranges it, at a random moment of the episode that comes.
        labels: how the attempt may end; more than one where the moment decides (an answer that nobody waited for).
    """

    name: str
    device: str
    inject: Inject
    labels: frozenset[str]


def label(outcome: Outcome) -> str:
    """The row of the matrix that an outcome belongs to."""
    if outcome.status is Status.FAILED:
        return f"failed: {outcome.reason.partition(':')[0]}"
    return str(outcome.status)


def _at_step(kind: Kind, code: int = 0) -> Inject:
    return lambda mock, _, rng: mock.box.inject(Fault(kind, step=int(rng.integers(1, LAST_STEP)), code=code))


def _at_command(kind: Kind, delay_s: float = 0.0, count: int = 1) -> Inject:
    return lambda mock, _, rng: mock.box.inject(
        Fault(kind, command=int(rng.integers(1, LAST_COMMAND)), count=count, delay_s=delay_s)
    )


def _cut_short(mock: MockRig, _: Person, rng: np.random.Generator) -> None:
    """An answer that carries something loses half of it: the controller's state, or the measured joints."""
    register, asked = ((Register.GET_STATE, 15), (Register.GET_JOINTS, 4))[int(rng.integers(2))]
    mock.box.inject(Fault("truncated", command=int(rng.integers(1, asked + 1)), register=register))


def _at_tick(act: Callable[[MockRig, Person, np.random.Generator], None]) -> Inject:
    return lambda mock, person, rng: mock.at_tick(int(rng.integers(1, LAST_TICK)), lambda: act(mock, person, rng))


def _motor(rng: np.random.Generator) -> int:
    return int(rng.integers(1, 13))


def _bus(mock: MockRig, **values: float) -> None:
    assert mock.bus is not None, "the mock rig has been started"
    for name, value in values.items():
        setattr(mock.bus.faults, name, value)


def _overload(mock: MockRig, _: Person, rng: np.random.Generator) -> None:
    if mock.bus is not None:
        mock.bus.overload(_motor(rng))


def _heat(mock: MockRig, _: Person, rng: np.random.Generator) -> None:
    if mock.bus is not None:
        mock.bus.heat(_motor(rng), int(rng.integers(65, 90)))


def _dead(mock: MockRig, _: Person, rng: np.random.Generator) -> None:
    if mock.bus is not None:
        mock.bus.faults.dead.add(_motor(rng))


def _wrong_baud(mock: MockRig, _: Person, rng: np.random.Generator) -> None:
    if mock.bus is not None:
        mock.bus.motors[_motor(rng)].set("baud", 1)


def _stop(_: MockRig, person: Person, __: np.random.Generator) -> None:
    # Not in the box's own thread: it has to answer the stop command.
    threading.Thread(target=person.stop, args=("stop button",), daemon=True).start()


def _camera(**values: float | bool) -> Inject:
    def act(mock: MockRig, _: Person, __: np.random.Generator) -> None:
        for name, value in values.items():
            setattr(mock.camera, name, value)

    return _at_tick(act)


def _prepares(*answers: Answer) -> Inject:
    # This scene is ready already: the script is for the next one.
    return lambda _, person, __: person.preparations.extend(answers)


def _judges(*answers: Answer) -> Inject:
    return lambda _, person, __: person.verdicts.extend(answers)


def _fault(name: str, device: str, inject: Inject, *labels: str) -> RigFault:
    return RigFault(name, device, inject, frozenset(labels))


def _errors() -> list[RigFault]:
    out = []
    for code, (kind, what, _) in CONTROLLER_ERRORS.items():
        wanted = COLLISION if code == 31 else LIMIT if kind.action_caused else FAULTED
        out.append(_fault(f"controller error {code} ({what})", "arm", _at_step("error", code), wanted))
    return out


FAULTS: Final[tuple[RigFault, ...]] = (
    _fault("collision", "arm", _at_step("collision"), COLLISION),
    *_errors(),
    _fault("emergency button", "arm", _at_step("estop"), FAULTED),
    _fault("TCP cut", "arm", _at_step("cut"), FAULTED),
    # The SDK also asks on its own account; an answer that only it waited for leaves the episode whole.
    _fault("silent controller", "arm", _at_command("silent", count=3), FAULTED, COMPLETED),
    _fault("late answer, too late", "arm", _at_command("late", delay_s=1.0), FAULTED, COMPLETED),
    _fault("late answer, in time", "arm", _at_command("late", delay_s=0.05), COMPLETED),
    _fault("truncated answer", "arm", _cut_short, FAULTED, COMPLETED),
    _fault("answer to another command", "arm", _at_command("stray_id"), FAULTED, COMPLETED),
    _fault("answer in another protocol", "arm", _at_command("stray_protocol"), FAULTED, COMPLETED),
    _fault("motor overload", "hand", _at_tick(_overload), FAULTED),
    _fault("motor overheats", "hand", _at_tick(_heat), FAULTED),
    _fault("dead motor", "hand", _at_tick(_dead), FAULTED),
    _fault("wrong baud rate", "hand", _at_tick(_wrong_baud), FAULTED),
    _fault("a corrupt packet", "hand", _at_tick(lambda m, _, __: _bus(m, corrupt_next=1)), COMPLETED),
    _fault("a lost packet", "hand", _at_tick(lambda m, _, __: _bus(m, drop_next=1)), COMPLETED),
    _fault("all packets corrupt", "hand", _at_tick(lambda m, _, __: _bus(m, corrupt_rate=1.0)), FAULTED),
    _fault("all packets lost", "hand", _at_tick(lambda m, _, __: _bus(m, drop_rate=1.0)), FAULTED),
    _fault("depth holes", "camera", _camera(holes=0.95), FAULTED),
    # Restarting the camera, which the rig tries once, mends these two here.
    _fault("frozen frames", "camera", _camera(frozen=True), FAULTED, COMPLETED),
    _fault("pixels stand still", "camera", _camera(stuck_pixels=True), FAULTED, COMPLETED),
    _fault("no depth", "camera", _camera(no_depth=True), FAULTED),
    _fault("depth and colour apart", "camera", _camera(skew_ms=100.0), FAULTED),
    _fault("camera unplugged", "camera", _camera(unplugged=True), FAULTED),
    _fault("stop pressed", "person", _at_tick(_stop), FAULTED),
    _fault("never prepares", "person", _prepares(SILENCE), COMPLETED, NO_SCENE),
    _fault("prepares too late", "person", _prepares(Late(Preparation(True), 1e6)), COMPLETED, NO_SCENE),
    _fault("voids the scene", "person", _prepares(Preparation(False, "cup fell")), COMPLETED, NO_SCENE),
    _fault("never scores", "person", _judges(SILENCE), UNSCORED),
    _fault("scores too late", "person", _judges(Late(Verdict(1.0), 1e6)), UNSCORED),
    _fault("scores late, in time", "person", _judges(Late(Verdict(0.25, False), 30.0)), COMPLETED),
    _fault("nonsense once", "person", _judges(Verdict(float("nan"))), COMPLETED),
    _fault("nonsense for ever", "person", _judges(*[Verdict(7.0)] * 3), UNSCORED),
    _fault("voids the episode", "person", _judges(Verdict(void="bad reset")), VOIDED),
    _fault("aborts", "person", _judges(ABORT), ABORTED),
)
"""The matrix's rows."""
