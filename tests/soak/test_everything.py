"""The short form of the soak; ``make soak`` is the long one."""

from __future__ import annotations

from pathlib import Path

from tests.boxes import RealBox
from tests.soak.everything import SETTINGS, Everything

SECONDS, PACE_S = 12.0, 0.3


def test_everything_at_once_with_kills(tmp_path: Path) -> None:
    box = RealBox(tmp_path / "home", settings=SETTINGS).start()
    try:
        everything = Everything(box, tmp_path, 1, PACE_S)
        everything.run(SECONDS)
        assert everything.kills >= 1
        assert min(map(len, (everything.put, everything.objects, everything.posted))) > 0
    finally:
        box.kill()
