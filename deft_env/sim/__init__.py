"""The MuJoCo simulation: arm, hand, world, kinematics, controls, execution, rendering. Imports nothing heavy."""
