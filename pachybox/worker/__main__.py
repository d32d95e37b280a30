"""``python -m pachybox.worker``: the worker by hand or in an image that has Python."""

import sys

from pachybox.worker.main import main

sys.exit(main())
