"""The parts of the xArm control box's stand-in; ``deft_mocks.xarm_box`` puts them on a socket."""

from deft_mocks.xarm.controller import Controller
from deft_mocks.xarm.faults import Fault, FaultPlan, random_faults
from deft_mocks.xarm.world import ArmWorld, KinematicWorld

__all__ = ["ArmWorld", "Controller", "Fault", "FaultPlan", "KinematicWorld", "random_faults"]
