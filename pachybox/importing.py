"""Libraries that are imported at their first use, by whichever thread that is."""

from __future__ import annotations

import threading

LOCK = threading.RLock()
"""Held meanwhile: of two threads that begin with different parts of a library, or of what two
libraries share, each soon waits for the other, and Python then gives one of them half a module."""
