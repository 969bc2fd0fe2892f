"""What calibrating a camera or a hand raises when a recording does not do."""


class CalibrationError(RuntimeError):
    """The views or pairs do not suffice, or contradict each other; the message says what to record instead."""
