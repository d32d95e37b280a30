"""One script a group of headline figures, each beside a limit or a peer of the same run."""
