"""Images to features, shared by rewards, policies and the prior."""
