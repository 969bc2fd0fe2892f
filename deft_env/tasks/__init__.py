"""One file a task: scene, instruction, judge, demonstration; objects as data."""
