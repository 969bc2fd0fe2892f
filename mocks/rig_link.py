"""The mock rig's own socket: scenes, pictures and verdicts for the camera and the person, in this process or another.

A request is one line of JSON; a reply is one line of JSON with a field ``bytes``, and as many bytes. On loopback only,
and without a password: whoever may use this machine may look at the simulated table.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from deft_env import registries
from deft_env.episode import FRAME_SHAPE, Frame, Outcome
from deft_env.rigs.operator import Operator, OperatorGoneError, Preparation, SceneRequest, Verdict
from deft_env.rigs.real.camera_source import CameraTimeout, Stream, SyncerSource
from deft_env.sim import world
from deft_mocks.realsense import CameraFaults, MockRealSense

Answer = Callable[[dict[str, Any]], tuple[dict[str, Any], bytes]]
MAX_LINE: Final = 1_000_000
TIMEOUT_S: Final = 60.0


class LinkServer:
    """Answers requests on a loopback port of its own choice, a thread a connection."""

    def __init__(self, answer: Answer) -> None:
        """Listens at once, answers after ``start``."""

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                # The xArm SDK gives every socket of its process a timeout of 1 s; people take longer.
                self.connection.settimeout(None)
                while line := self.rfile.readline(MAX_LINE):
                    try:
                        reply, data = answer(json.loads(line))
                    except Exception as error:  # whatever it is, the other side should read it
                        reply, data = {"error": f"{type(error).__name__}: {error}"}, b""
                    with contextlib.suppress(OSError):
                        self.wfile.write(json.dumps({**reply, "bytes": len(data)}).encode() + b"\n" + data)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address, daemon_threads = True, True

        self._server = Server(("127.0.0.1", 0), Handler)
        host, port = self._server.server_address[:2]
        self.address = f"{host!s}:{port}"
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins to answer."""
        self._thread = threading.Thread(target=self._server.serve_forever, name="mock-rig-link", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops; may be called twice."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()


class Link:
    """A client of ``LinkServer``; for one thread at a time."""

    def __init__(self, address: str) -> None:
        """Connects when first used; ``address`` is ``host:port``."""
        host, _, port = address.rpartition(":")
        if not port.isdecimal():
            raise ValueError(f"address: expected host:port as `deft mock-rig` prints it, got {address!r}")
        self._place = (host, int(port))
        self._socket: socket.socket | None = None
        self._file: Any = None
        self._lock = threading.Lock()

    def ask(self, do: str, **more: Any) -> tuple[dict[str, Any], bytes]:
        """One request.

        Raises:
            ConnectionError: if the mock rig is gone, or answers with an error.
        """
        with self._lock:
            try:
                if self._socket is None:
                    self._socket = socket.create_connection(self._place, timeout=TIMEOUT_S)
                    self._socket.settimeout(TIMEOUT_S)
                    self._file = self._socket.makefile("rb")
                self._socket.sendall(json.dumps({"do": do, **more}).encode() + b"\n")
                line = self._file.readline(MAX_LINE)
                if not line:
                    raise ConnectionError("the mock rig closed the connection")
                reply = json.loads(line)
                data = self._file.read(reply.pop("bytes"))
            except OSError as error:
                self.close()
                raise ConnectionError(f"mock rig at {self._place[0]}:{self._place[1]}: {error}") from error
        if "error" in reply:
            raise ConnectionError(f"mock rig: {reply['error']}")
        return reply, data

    def close(self) -> None:
        """Disconnects; may be called twice."""
        if self._socket is not None:
            self._file.close()
            self._socket.close()
            self._socket = None


class MockRigSource:
    """Framesets of the mock rig's camera, made by librealsense's software device in this process."""

    def __init__(self, *, address: str) -> None:
        """Connects when started."""
        self._link = Link(address)
        self._inner: SyncerSource | None = None

    def start(self) -> Stream:
        """See ``FramesetSource``."""
        mock = MockRealSense(self._see, K=world.camera_matrix())

        def pump() -> None:
            faults, _ = self._ask("camera")
            mock.faults = CameraFaults(**{**faults, "drop": mock.faults.drop})
            mock.push()

        self._inner = SyncerSource(mock.device, pump=pump)
        self._mock = mock  # the device lives as long as its source
        return self._inner.start()

    def _ask(self, do: str) -> tuple[dict[str, Any], bytes]:
        try:
            return self._link.ask(do)
        except ConnectionError as error:
            raise CameraTimeout(str(error)) from error

    def _see(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        _, data = self._ask("see")
        pixels = FRAME_SHAPE[0] * FRAME_SHAPE[1]
        rgb = np.frombuffer(data[: 3 * pixels], np.uint8).reshape(*FRAME_SHAPE, 3)
        return rgb, np.frombuffer(data[3 * pixels :], "<f4").reshape(FRAME_SHAPE)

    def wait(self, timeout_s: float) -> Any:
        """See ``FramesetSource``."""
        return None if self._inner is None else self._inner.wait(timeout_s)

    def drain(self) -> int:
        """See ``FramesetSource``."""
        return 0 if self._inner is None else self._inner.drain()

    def stop(self) -> None:
        """See ``FramesetSource``."""
        inner, self._inner = self._inner, None
        if inner is not None:
            inner.stop()
        self._link.close()


class MockRigOperator(Operator):
    """A scripted person: sets up the simulated scene of the key, and says what the task's judge says of the sensors.

    Since it knows the simulated scene, it also hands its truth to the rig, so that ``--prior simulated`` works in a
    rehearsal; people cannot do that.
    """

    name = "mock-rig"
    stand_in = True

    def __init__(self, *, address: str) -> None:
        """Connects when first asked."""
        super().__init__()
        self._link = Link(address)

    def _call(self, do: str, **more: Any) -> dict[str, Any]:
        try:
            return self._link.ask(do, **more)[0]
        except ConnectionError as error:
            raise OperatorGoneError(str(error)) from error

    def _prepare(self, scene: SceneRequest) -> Preparation:
        from deft_env.rigs.simulated import SimulatedRig

        if scene.trouble:
            self._call("mend")
            return Preparation(True)
        self._call("reset", key=str(scene.key))
        task = registries.tasks.load(scene.key.task)()
        return Preparation(True, truth=SimulatedRig.truth(task, task.draw(scene.key)))

    def _judge(self, before: Frame | None, outcome: Outcome) -> Verdict:
        phase = outcome.signals.get("phase")
        said = self._call("judge", phase=None if phase is None else np.asarray(phase).ravel().tolist())
        return Verdict(float(said["score"]), bool(said["success"]))

    def close(self) -> None:
        """Disconnects."""
        self._link.close()
