"""A sensor gateway: no reading is lost or doubled when the box is away, restarts or is full.

    python examples/ingest/gateway.py NUMBER

Needs a running box with the source of push.sh; $PACHYBOX_URL says where.
"""

import json
import os
import random
import sys
import time
import uuid
from urllib.error import HTTPError
from urllib.request import Request, urlopen

URL = os.environ.get("PACHYBOX_URL", "http://localhost:30600") + "/ingest/events"


def send(reading: dict[str, object]) -> None:
    """Return when it is safe on the box's disk. Sent again with the same key, it is known."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
    while True:
        pause = 1.0
        try:
            urlopen(Request(URL, json.dumps(reading).encode(), headers), timeout=10).close()
            return
        except HTTPError as e:
            if e.code not in (429, 503):  # full, or not now; all else does not get better
                raise
            pause = float(e.headers.get("Retry-After", pause))
        except OSError:  # no box, or its answer was lost
            pass
        time.sleep(pause)


for number in range(int(sys.argv[1])):
    send({"sensor": "hall", "number": number, "celsius": round(random.gauss(21, 0.5), 2)})
