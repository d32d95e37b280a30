"""How many examples of a property are drawn."""

from __future__ import annotations

import os

_TIMES = float(os.environ.get("PACHYBOX_TEST_EXAMPLES", "1"))


def many(number: int) -> int:
    """``number`` of them in the suite, ``PACHYBOX_TEST_EXAMPLES`` times as many for whoever changes
    what the property is about."""
    return max(1, round(number * _TIMES))
