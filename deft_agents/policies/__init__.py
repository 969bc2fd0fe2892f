"""What to do in the end: one file a policy."""
