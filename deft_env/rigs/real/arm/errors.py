"""What can go wrong with the arm, as exceptions: the vendor's return codes and controller errors, in words.

Two families matter to a rig. ``action_caused`` errors (a collision, an unreachable or forbidden pose) are the grasp's
own doing: the episode has failed. All others are the device's or a person's: the episode is faulted and runs again.
"""

from __future__ import annotations

from typing import Final


class ArmError(RuntimeError):
    """Something went wrong with the arm.

    Attributes:
        operation: what was being done.
        api_code: the SDK's return code, None where it had no part in it.
        controller_code: the controller's error number, 0 for none or unknown.
        step: index of the waypoint that was being sent, None outside a stream.
        action_caused: whether the commanded motion is to blame rather than the device.
    """

    action_caused = False

    def __init__(
        self, operation: str, what: str, *, api_code: int | None = None, controller_code: int = 0, do: str = ""
    ) -> None:
        """An error of ``operation``; ``what`` happened and what to ``do`` about it, in words."""
        codes = [f"API code {api_code}"] if api_code is not None else []
        codes += [f"controller error {controller_code}"] if controller_code else []
        tail = f" ({', '.join(codes)})" if codes else ""
        super().__init__(f"{operation}: {what}{tail}{'; ' + do if do else ''}")
        self.operation, self.api_code, self.controller_code = operation, api_code, controller_code
        self.step: int | None = None


class ArmCollision(ArmError):
    """The controller felt a collision (error 31, abnormal current) and stopped."""

    action_caused = True


class ArmLimit(ArmError):
    """The motion leaves what the arm may or can do: joint limits, reach, speed, safety boundary, itself."""

    action_caused = True


class ArmFault(ArmError):
    """The device is at fault: a servo, the communication, an answer that makes no sense."""


class ArmTimeout(ArmFault):
    """No answer in time, or a motion that did not end."""


class ArmDisconnected(ArmFault):
    """There is no connection to the control box."""


class ArmStopped(ArmError):
    """Somebody stopped the arm: emergency button, stop command, manual mode."""


class ArmNotReady(ArmError):
    """The arm is not enabled, or not in the state or mode that the command needs."""


_RECOVER: Final = "make sure that the way is free, then call recover()"
_ESTOP: Final = "release the emergency button, then call recover()"

CONTROLLER_ERRORS: Final[dict[int, tuple[type[ArmError], str, str]]] = {
    1: (ArmStopped, "emergency button on the control box is pressed", _ESTOP),
    2: (ArmStopped, "emergency input of the control box is triggered", _ESTOP),
    3: (ArmStopped, "three-state switch triggered the emergency stop", _ESTOP),
    10: (ArmFault, "servo motor error", "power the control box off and on"),
    **{
        10 + i: (ArmFault, f"servo motor of joint {i} has an error", "power the control box off and on")
        for i in range(1, 8)
    },
    18: (ArmFault, "force sensor does not communicate", "check its cable"),
    19: (ArmFault, "end module does not communicate", "check the cable at the flange"),
    21: (ArmLimit, "no kinematic solution on the way (singular or out of reach)", _RECOVER),
    22: (ArmLimit, "the arm would collide with itself", _RECOVER),
    23: (ArmLimit, "a joint reaches its limit", _RECOVER),
    24: (ArmLimit, "a joint exceeds its speed limit", _RECOVER),
    25: (ArmLimit, "the motion cannot be planned", _RECOVER),
    26: (ArmFault, "operating system of the control box has an error", "power the control box off and on"),
    27: (ArmFault, "the controller's answer is wrong", "power the control box off and on"),
    28: (ArmFault, "end module has an error", "check the tool's cable"),
    30: (ArmFault, "a joint's measured speed exceeds its limit", _RECOVER),
    31: (ArmCollision, "collision: abnormal motor current", _RECOVER),
    32: (ArmLimit, "circle cannot be computed", _RECOVER),
    33: (ArmFault, "control box I/O has an error", "check its wiring"),
    34: (ArmFault, "trajectory recording timed out", _RECOVER),
    35: (ArmLimit, "the tool reaches the safety boundary", _RECOVER),
    36: (ArmFault, "too many delayed commands", _RECOVER),
    37: (ArmStopped, "the arm is in manual mode", "leave manual mode, then call recover()"),
    38: (ArmLimit, "a joint angle is abnormal", _RECOVER),
    39: (ArmFault, "power board has an error", "power the control box off and on"),
    40: (ArmLimit, "the motion's length is beyond the planner", _RECOVER),
    41: (ArmFault, "trajectory file cannot be read", _RECOVER),
    42: (ArmFault, "trajectory file cannot be written", _RECOVER),
    **{50 + i: (ArmFault, "force sensor has an error", "check it and its load settings") for i in range(4)},
    60: (ArmLimit, "a servo command is too fast", _RECOVER),
    110: (ArmFault, "base's serial port does not communicate", "check its cable"),
    111: (ArmFault, "external serial device does not communicate", "check its cable"),
}
"""Controller error -> exception, words, what to do. Numbers and meanings: the vendor's error table."""

WARNINGS: Final[dict[int, str]] = {
    11: "command buffer is full",
    12: "a parameter is wrong",
    13: "command does not exist",
    14: "command has no solution",
    15: "buffer of the serial bus is full",
}

API_CODES: Final[dict[int, tuple[type[ArmError], str, str]]] = {
    -1: (ArmDisconnected, "not connected to the control box", "check power and network, then connect again"),
    -2: (ArmNotReady, "the arm is not enabled or not started", "call enable()"),
    -3: (ArmFault, "the SDK refuses the call's parameters", "see its log"),
    -4: (ArmFault, "this firmware does not know the command", "update the control box"),
    -6: (ArmLimit, "the pose is beyond the Cartesian limits", ""),
    -7: (ArmLimit, "a joint angle is beyond its limit", ""),
    -8: (ArmLimit, "the target is out of range", ""),
    -9: (ArmStopped, "the motion was stopped", "call enable() when it may go on"),
    1: (ArmFault, "the controller has an error that was not cleared", "call recover()"),
    2: (ArmFault, "the controller has a warning that was not cleared", "call recover()"),
    3: (ArmTimeout, "no answer in time", "check power and network"),
    4: (ArmFault, "the answer has a wrong length", "check the network"),
    5: (ArmFault, "the answer belongs to another command", "check the network"),
    6: (ArmFault, "the answer has a wrong protocol", "check that this address is a control box"),
    7: (ArmFault, "the answer has a wrong function number", "check the network"),
    8: (ArmDisconnected, "the command could not be sent", "check power and network, then connect again"),
    9: (ArmNotReady, "the arm is not in the state or mode for this", "call enable()"),
    10: (ArmFault, "the controller calls the command invalid", ""),
    11: (ArmFault, "the controller has an unnamed problem", ""),
    12: (ArmFault, "the controller refuses the parameters", ""),
    51: (ArmNotReady, "the arm is in another mode", "call enable() with the mode you need"),
    100: (ArmTimeout, "the motion did not end in time", "look at the arm, then call recover()"),
    101: (ArmFault, "the state could not be read while waiting", "check the network"),
}
"""SDK return code -> exception, words, what to do."""


def controller_error(operation: str, code: int, api_code: int | None = None) -> ArmError:
    """The exception for a controller error number; unknown numbers are faults."""
    kind, what, do = CONTROLLER_ERRORS.get(code, (ArmFault, "undocumented controller error", "see the vendor's manual"))
    return kind(operation, what, api_code=api_code, controller_code=code, do=do)


def api_error(operation: str, code: int, *, error: int = 0, warning: int = 0, state: int = 0) -> ArmError:
    """The exception for an SDK return code, given what the controller says of itself.

    Args:
        operation: what was being done.
        code: the SDK's return code, not 0.
        error: the controller's error number; where there is one it is the cause.
        warning: the controller's warning number.
        state: the controller's state; 4 explains "not ready".
    """
    if error and code not in (-1, 3, 8):
        return controller_error(operation, error, code)
    kind, what, do = API_CODES.get(code, (ArmFault, "undocumented return code", "see the SDK's code table"))
    if warning:
        what = f"{what} (warning {warning}: {WARNINGS.get(warning, 'undocumented')})"
    if kind is ArmNotReady and state == 4:
        return ArmStopped(operation, "the arm was stopped", api_code=code, do="call enable() when it may go on")
    return kind(operation, what, api_code=code, do=do)
