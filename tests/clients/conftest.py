"""The suites of the clients are run by test_clients.py, each by its environment's own Python."""

from __future__ import annotations

from pathlib import Path

collect_ignore = [asked.parent.name for asked in Path(__file__).parent.glob("*/requirements.in")]
