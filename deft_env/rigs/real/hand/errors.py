"""What goes wrong with the hand, one type a kind; the message says what, where and what to do."""


class HandError(RuntimeError):
    """Something is wrong with the hand; the message says what, where and what to do."""


class BusTimeout(HandError):
    """A motor, or the whole bus, did not answer."""


class BusCorrupt(HandError):
    """Answers arrived damaged, again and again."""


class BusDisconnected(HandError):
    """The serial port vanished or could not be opened."""


class MotorRefused(HandError):
    """A motor answered with an error: a value out of range, or a register locked while torque is on."""


class MotorAlert(HandError):
    """A motor reports a hardware alert and has dropped its torque."""


class WrongMotor(HandError):
    """A motor of another model, or a bus that is not the configured one."""
