"""The box's care of itself: what became of it (health), its rounds (janitor), proving (scrub)."""
