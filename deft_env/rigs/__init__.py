"""What executes a grasp: the contract, the simulated rig, the real one, operators, safety."""
