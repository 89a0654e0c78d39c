"""The terminal face: the same assistant on stdin and stdout."""
