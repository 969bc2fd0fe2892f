"""The simulated rig: MuJoCo worlds in native batches; the same contract as the real rig."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from deft_env import grasp
from deft_env.demonstration import Demonstration
from deft_env.episode import EpisodeKey, Frame, Outcome, Status
from deft_env.registries import tasks
from deft_env.rigs.rig import Frames, Rig, SceneTruth
from deft_env.sim import controls, execute, memory, names, render, world
from deft_env.sim.crew import Crew
from deft_env.sim.scenes import SceneModels, layout
from deft_env.tasks import judging
from deft_env.tasks.judging import PHASES
from deft_env.tasks.task import PHASE_SIGNAL, Scene, Task

T = TypeVar("T")
Array = NDArray[np.float64]
FILM_EVERY_TICKS: Final = 5
"""A film has ten frames a second of simulated time."""
EPISODES_A_TRIM: Final = 512
"""Freed memory is given back after so many episodes: it costs milliseconds, they cost seconds."""
FILM_SIZE: Final = (320, 240)


class SimulatedRig(Rig):
    """Executes grasps in MuJoCo: N worlds, no Python per world or per physics step.

    The result of an episode depends on its key and grasp alone: not on the batch, the threads or the process.
    """

    name = "simulated"

    def __init__(
        self,
        *,
        physics: world.PhysicsOptions | None = None,
        timing: controls.ControlOptions | None = None,
        threads: int = 0,
        film: bool = True,
        shadows: bool = False,
        soft: bool = False,
        device: str = "cpu",
    ) -> None:
        """Makes a rig; models are compiled when first needed.

        Args:
            physics: solver settings; None takes each task's own.
            timing: timing of an episode.
            threads: most threads, of physics and of drawing; 0 takes what is available.
            film: keep the states that ``Outcome.film`` draws (memory, no time).
            shadows: whether the camera's frames have shadows (six times their cost); films always have.
            soft: what can be deformable is (lemon and bagel), at several times the cost: for evaluation and pictures.
                Scenes without such a thing are as ever.
            device: ``"cpu"``; ``"cuda"``, an NVIDIA GPU through MuJoCo Warp (extra ``gpu``), where outcomes agree in
                rate but not in bits; ``"warp-cpu"``, the same without a GPU, slowly, for tests of its logic.

        Raises:
            ValueError: for an unknown device.
            ImportError: for a device of MuJoCo Warp without that package.
            RuntimeError: for ``"cuda"`` without a GPU.
        """
        if device != "cpu":
            from deft_env.sim import warp_execute

            warp_execute.check(device)
        self.device = device
        self.physics, self.timing = physics, timing or controls.ControlOptions()
        self.threads, self.film, self.shadows, self.soft = threads, film, shadows, soft
        self._models: dict[str, SceneModels] = {}
        self._keys: tuple[EpisodeKey, ...] = ()
        self._scenes: list[Scene] = []
        self._drawn: dict[int, Any] = {}
        self._played = 0
        self._crew = Crew(threads or execute.threads_available(), render.close_all)

    def task(self, name: str) -> Task:
        """The task of a name, with its models cached for this rig's life."""
        return self._of(name).task

    def _of(self, name: str) -> SceneModels:
        if name not in self._models:
            made: Task = tasks.load(name)()
            made.soft = self.soft and made.deformable
            self._models[name] = SceneModels(made, self.physics or world.PhysicsOptions(**made.solver))
        return self._models[name]

    def reset_batch(self, keys: Sequence[EpisodeKey]) -> Frames:
        """Draws the scenes of ``keys``; frames show the parked arm and are rendered when asked for."""
        self._keys = tuple(keys)
        self._scenes = [self._of(key.task).task.draw(key) for key in keys]
        scenes, owners = self._scenes, [self._of(key.task) for key in keys]
        drawn = self._drawn = {}  # models of scenes that were looked at, for the episode that follows

        def picture(i: int) -> Frame:
            if drawn is self._drawn and i not in drawn:
                drawn[i] = owners[i].model(scenes[i])
            return self._frame(owners[i], scenes[i], controls.parked(), drawn.get(i))

        return Frames(keys, picture, [self.truth(m.task, s) for m, s in zip(owners, scenes, strict=True)], self.many)

    def many(self, works: Sequence[Callable[[], T]]) -> list[T]:
        """What each of ``works`` returns, in their order, by the rig's threads; see ``Rig.many``."""
        return self._crew.map(works)

    @staticmethod
    def truth(task: Task, scene: Scene) -> SceneTruth:
        """What the simulator knows of a scene."""
        return SceneTruth(
            object=scene.variant.object,
            human_grasp=task.human_grasp(scene),
            descriptor=scene.descriptor,
            prior_error=task.prior_error,
            parameters={"position_m": scene.position_m, "yaw_rad": scene.yaw_rad, **scene.variant.size},
        )

    def _frame(self, owner: SceneModels, scene: Scene, state: Any, model: Any = None) -> Frame:
        """A frame of a scene in a ``state``: joint positions (nq,), or the pair of arm and hand angles."""
        mine = owner.model(scene) if model is None else model
        qpos = owner.qpos(mine, scene, *state) if isinstance(state, tuple) else state
        picture = render.Scene(mine, qpos, data=owner.scratch(scene.variant))
        rgb, depth = picture.rgbd(shadows=self.shadows, mipmaps=False)
        if model is None:
            owner.recycle(scene, mine)
        return Frame(rgb, depth, world.camera_matrix(), world.ego_pose())

    def execute_batch(self, grasps: ArrayLike, demonstrations: Sequence[Demonstration]) -> list[Outcome]:
        """Plays one grasp in each scene of the last reset; see ``Rig.execute_batch``."""
        wished = np.atleast_2d(grasp.check(grasps, "grasps"))
        n = len(self._scenes)
        if not n:
            raise ValueError("execute_batch: call reset_batch first; a scene is executed once")
        if len(wished) != n or len(demonstrations) != n:
            raise ValueError(f"grasps, demonstrations: expected {n}, got {len(wished)} and {len(demonstrations)}")
        keys, scenes, drawn = self._keys, self._scenes, self._drawn
        self._keys, self._scenes, self._drawn = (), [], {}
        owners = [self._of(key.task) for key in keys]
        nominal = np.stack([owner.task.nominal_rotation for owner in owners])
        plan = controls.plan(wished, nominal, list(demonstrations), self.timing)
        outcomes: list[Outcome | None] = [None] * n
        groups: dict[tuple[str, tuple[int, ...]], list[int]] = {}
        models: list[Any] = [None] * n
        for i in range(n):
            if not plan.ok[i]:
                outcomes[i] = self._unreachable(owners[i], scenes[i], keys[i], plan.executed[i], plan.reason[i])
                continue
            models[i] = drawn.pop(i, None) or owners[i].model(scenes[i])
            groups.setdefault((keys[i].task, layout(models[i])), []).append(i)
        for members in groups.values():
            self._play(members, models, owners, scenes, keys, plan, outcomes)
            for i in members:
                owners[i].recycle(scenes[i], models[i])
        self._played += n
        if self._played >= EPISODES_A_TRIM:
            self._played = 0
            memory.give_back()
        return [outcome for outcome in outcomes if outcome is not None]

    def _play(
        self,
        members: list[int],
        models: list[Any],
        owners: list[SceneModels],
        scenes: list[Scene],
        keys: Sequence[EpisodeKey],
        plan: controls.ControlPlan,
        outcomes: list[Outcome | None],
    ) -> None:
        """Plays the episodes ``members``, which share a task and a layout, and judges them."""
        qpos = np.stack([owners[i].qpos(models[i], scenes[i], plan.arm_qpos[i], plan.hand_qpos[i]) for i in members])
        record = self._record(owners[members[0]], [models[i] for i in members], qpos, plan.controls[members])
        phase = np.zeros((plan.controls.shape[1], 1))
        for name, (start, end) in plan.phases.items():
            phase[start:end] = PHASES.index(name)
        for row, i in enumerate(members):
            signals = {**owners[i].task.signals(record.world(row)), PHASE_SIGNAL: phase}
            pictures = self._pictures(owners[i], scenes[i], record.final_qpos[row], record.film_qpos[row])
            common: dict[str, Any] = {"key": keys[i], "executed_grasp": plan.executed[i]}
            if record.faulted[row]:
                outcomes[i] = Outcome(**common, status=Status.FAULTED, reason=record.reason[row])
                continue
            if record.strike_n[row] > world.STRIKE_LIMIT_N:
                reason = f"collision: the table was struck with {record.strike_n[row]:.0f} N"
                subgoals = {"did not strike the table": False, **owners[i].task.subgoals(judging.Remembering(signals))}
                outcomes[i] = Outcome(
                    **common, status=Status.FAILED, reason=reason, success=False, score=0.0,
                    subgoals=subgoals, signals=signals, **pictures,
                )  # fmt: skip
                continue
            judge, seen = owners[i].task, judging.Remembering(signals)
            outcomes[i] = Outcome(
                **common, status=Status.COMPLETED, success=judge.success(seen), score=float(judge.score(seen)),
                subgoals=judge.subgoals(seen), signals=signals, **pictures,
            )  # fmt: skip

    def _record(self, owner: SceneModels, models: list[Any], qpos: Array, wished: Array) -> execute.Playback:
        """Plays the worlds of one layout on the rig's device."""
        breakables, film_every = owner.task.breakables, FILM_EVERY_TICKS if self.film else 0
        tick = None if breakables else owner.task.tick(models)
        if self.device == "cpu":
            return execute.play(
                models, qpos, wished, substeps=owner.options.substeps, film_every=film_every, threads=self.threads,
                tick=tick, breakables=breakables,
            )  # fmt: skip
        from deft_env.sim import warp_execute

        if tick is not None:
            raise ValueError(
                f"task {owner.task.name!r} changes its worlds after every tick by Python code, which {self.device!r} "
                "cannot do; use device='cpu' (or declare what breaks in Task.breakables)"
            )
        return warp_execute.play(
            models, qpos, wished, substeps=owner.options.substeps, film_every=film_every, device=self.device,
            breakables=breakables,
        )  # fmt: skip

    def _pictures(self, owner: SceneModels, scene: Scene, final: Array, film: Array) -> dict[str, Any]:
        def last_frame() -> Frame:
            return self._frame(owner, scene, final)

        def frames() -> list[NDArray[np.uint8]]:
            model = owner.model(scene)

            def frame(qpos: Array) -> NDArray[np.uint8]:
                return render.Scene(model, qpos, data=owner.scratch(scene.variant)).rgb(names.FILM_CAMERA, FILM_SIZE)

            return self.many([partial(frame, qpos) for qpos in film])

        return {"last_frame": last_frame, "film": frames} if self.film else {"last_frame": last_frame}

    def _unreachable(self, owner: SceneModels, scene: Scene, key: EpisodeKey, executed: Array, reason: str) -> Outcome:
        """The arm cannot play the path: nothing moved, and the last picture is the first."""

        def still() -> Frame:
            return self._frame(owner, scene, controls.parked())

        return Outcome(
            key, executed, Status.FAILED, reason, success=False, score=0.0,
            subgoals={"the arm reached the grasp": False}, last_frame=still,
        )  # fmt: skip

    def close(self) -> None:
        """Forgets the compiled models; frees what the drawing threads keep."""
        self._models.clear()
        self._crew.close()
