"""The xArm6 through the vendor's SDK."""

from deft_env.rigs.real.arm.config import ArmConfig
from deft_env.rigs.real.arm.driver import POSITION, SERVO, Arm, JointState
from deft_env.rigs.real.arm.link import ArmStatus

__all__ = ["POSITION", "SERVO", "Arm", "ArmConfig", "ArmStatus", "JointState"]
