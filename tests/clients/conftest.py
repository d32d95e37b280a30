"""The suites of the clients are run by test_clients.py, each by its environment's own Python."""

from __future__ import annotations

collect_ignore_glob = ["*/*.py"]
