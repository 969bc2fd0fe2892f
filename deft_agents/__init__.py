"""Who decides: searches and policies behind one ask-and-tell interface."""
