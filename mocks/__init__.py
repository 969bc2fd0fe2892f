"""Stand-ins for hardware, people and physics that the real code paths talk to; for your own CI too."""
