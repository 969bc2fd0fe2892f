"""Drivers of the real rig: arm, hand, camera, calibration."""
