"""The soft hand: its motors on a Dynamixel bus, and the map between motors and finger joints."""

from deft_env.rigs.real.hand.config import HandConfig, MotorConfig
from deft_env.rigs.real.hand.driver import DynamixelHand, HandState, MoveReport
from deft_env.rigs.real.hand.joints import JointHand
from deft_env.rigs.real.hand.motor_map import MotorMap

__all__ = ["DynamixelHand", "HandConfig", "HandState", "JointHand", "MotorConfig", "MotorMap", "MoveReport"]
