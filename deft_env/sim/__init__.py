"""The MuJoCo simulation: arm, hand, world, kinematics, controls, batched execution, rendering. Imports nothing heavy."""
