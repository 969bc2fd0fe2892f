"""``deft calibrate``: boards and markers, where the camera is, and what the motors do to the fingers."""
