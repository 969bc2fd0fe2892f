"""The connection to an xArm: opening, closing, asking, and turning every return code into an exception with words."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from deft_env.rigs.real.arm import guard, vendor
from deft_env.rigs.real.arm.config import ArmConfig
from deft_env.rigs.real.arm.errors import (
    ArmDisconnected,
    ArmError,
    ArmFault,
    ArmNotReady,
    ArmTimeout,
    api_error,
    controller_error,
)
from deft_env.rigs.real.arm.vendor import ArmSdk
from deft_env.rigs.real.arm.xarm_kinematics import AXES

T = TypeVar("T")

STOP: Final = 4
"""Both the command and the state it leads to."""
_DEVICE_TYPE: Final = 6
_SPEECHLESS: Final = (-1, 3, 8)
"""Codes after which asking the controller for more makes no sense."""
_REPORT_WAIT_S: Final = 2.0
_STOP_TRIES: Final = 3
_STOP_REPLY_S: Final = 0.5
_RECONNECT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class ArmStatus:
    """What the controller says of itself: state (1 moving, 2 idle, 3 paused, 4 stopped, 5 waits), error and warning."""

    state: int
    error: int
    warning: int


class ArmLink:
    """An open connection; see ``deft_env.rigs.real.arm.Arm``."""

    def __init__(
        self,
        config: ArmConfig,
        *,
        create: Callable[[ArmConfig], ArmSdk] = vendor.create_sdk,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """A driver that is not yet connected.

        Args:
            config: address, tool, limits.
            create: makes an unconnected SDK object.
            sleep: how streams wait for the next waypoint's time; tests pass their own clock.
            monotonic: the clock that belongs to ``sleep``.
        """
        self.config = config
        self.in_call, self.pending = False, None  # type: bool, BaseException | None
        self._create, self._sleep, self._monotonic = create, sleep, monotonic
        self._sdk: ArmSdk | None = None
        self._was_enabled = False

    # --- opening and closing ----------------------------------------------------------------------------------------
    def connect(self) -> Self:
        """Connects and checks that this is an xArm6 that really moves; raises ArmError. Enables and moves nothing."""
        if self._sdk is not None:
            return self
        sdk = self._create(self.config)
        vendor.connect(sdk, self.config)
        self._sdk = sdk
        guard.watch(self)
        try:
            self._await("connect", lambda: sdk.count >= 0, "the report stream is silent")
            if (sdk.axis, sdk.device_type) != (AXES, _DEVICE_TYPE):
                raise ArmFault(
                    "connect", f"an xArm6 (6 axes, type 6) expected, got {sdk.axis} axes, type {sdk.device_type}"
                )
            if sdk.is_simulation_robot and not self.config.allow_simulation:
                raise ArmNotReady(
                    "connect",
                    "the control box is in simulation mode: nothing would move",
                    do="switch it off in the vendor's studio, or set allow_simulation",
                )
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Stops the arm, leaves it holding its posture with the motors on, and disconnects; may be called twice.

        Raises:
            ArmFault: the arm could not be told to stop, not even over a new connection.
        """
        sdk, self._sdk = self._sdk, None
        if sdk is None:
            return
        try:
            stopped = not self._was_enabled or _stop(sdk) or self._stop_over_new_connection()
        finally:
            self._was_enabled = False
            vendor.disconnect(sdk)
            guard.release(self)
        if not stopped:
            raise ArmFault("close", "the arm does not confirm that it stopped", do="USE THE EMERGENCY BUTTON")

    def _stop_over_new_connection(self) -> bool:
        # A motion that was queued before the link broke goes on without us.
        config = replace(self.config, connect_timeout_s=min(self.config.connect_timeout_s, _RECONNECT_S))
        sdk = self._create(config)
        try:
            vendor.connect(sdk, config)
            return _stop(sdk)
        except ArmError:
            return False
        finally:
            vendor.disconnect(sdk)

    def __enter__(self) -> Self:
        return self.connect()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            self.close()
        except ArmFault as fault:
            if error is None:
                raise
            error.add_note(str(fault))

    # --- asking -----------------------------------------------------------------------------------------------------
    @property
    def sdk(self) -> ArmSdk:
        """The connected SDK object; ArmDisconnected without one."""
        if self._sdk is None:
            raise ArmDisconnected("arm", "not connected", do="call connect() or use the arm as a context manager")
        return self._sdk

    def status(self) -> ArmStatus:
        """State, error and warning, asked for now (the SDK's own properties may be a report old)."""
        error, warning = self._get("status", self.sdk.get_err_warn_code)
        return ArmStatus(int(self._get("status", self.sdk.get_state)), int(error), int(warning))

    def emergency_stop(self) -> None:
        """Stops at once and forgets all queued motions; from any thread. ArmFault if the arm does not confirm it."""
        if not _stop(self.sdk):
            raise ArmFault("emergency_stop", "the arm does not confirm that it stopped", do="USE THE EMERGENCY BUTTON")

    # --- codes ------------------------------------------------------------------------------------------------------
    def _call(self, operation: str, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        self.in_call = True
        try:
            answer = function(*args, **kwargs)
        except Exception as error:  # the SDK lets parsing errors of short answers escape
            raise ArmFault(operation, f"the SDK failed on an answer ({error!r})", do="check the network") from error
        finally:
            self.in_call = False
            pending, self.pending = self.pending, None
        if pending is not None:
            raise pending
        return answer

    def _check(self, operation: str, answer: Any) -> None:
        code = vendor.code_of(answer)
        if code == 0:
            return
        error = warning = state = 0
        if code not in _SPEECHLESS:
            with contextlib.suppress(Exception):  # a second failure must not hide the first
                asked, (e, w) = self.sdk.get_err_warn_code()
                error, warning = (e, w) if asked == 0 else (0, 0)
                asked, s = self.sdk.get_state()
                state = s if asked == 0 else 0
        raise api_error(operation, code, error=error, warning=warning, state=state)

    def _set(self, operation: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._check(operation, self._call(operation, function, *args, **kwargs))

    def _get(self, operation: str, function: Callable[..., tuple[int, Any]], *args: Any, **kwargs: Any) -> Any:
        answer = self._call(operation, function, *args, **kwargs)
        self._check(operation, answer)  # with any other code the value would be a stale one from the SDK's cache
        return answer[1]

    def _raise_controller_error(self, operation: str) -> None:
        error = self.status().error
        if error:
            raise controller_error(operation, error)

    def _await(self, operation: str, condition: Callable[[], bool], otherwise: str) -> None:
        """Waits for a report that makes ``condition`` true."""
        deadline = time.monotonic() + _REPORT_WAIT_S
        while not self._call(operation, condition):
            if not self.sdk.connected:
                raise api_error(operation, -1)
            if time.monotonic() > deadline:
                raise ArmTimeout(operation, f"no report confirms it: {otherwise}", do="check the network and the arm")
            time.sleep(0.002)


def _stop(sdk: ArmSdk) -> bool:
    """Tells the arm to stop and asks whether it did; never raises."""
    for _ in range(_STOP_TRIES):
        with contextlib.suppress(Exception):
            if not sdk.connected:
                return False
            sdk.set_timeout(_STOP_REPLY_S)
            sdk.set_state(STOP)
            code, state = sdk.get_state()
            if code == 0 and state == STOP:
                return True
    return False
