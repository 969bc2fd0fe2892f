"""Where to try next: one file a search."""
