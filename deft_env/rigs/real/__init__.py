"""The real rig (``rig*``) and the drivers of its devices; ``camera_source`` is a contract for parts of one's own."""
