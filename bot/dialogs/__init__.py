"""One file a guided conversation."""
