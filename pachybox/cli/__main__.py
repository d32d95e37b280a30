"""``python -m pachybox.cli``: how ``up --detach`` starts the box."""

from __future__ import annotations

import sys

from pachybox.cli import main

sys.exit(main())
