"""A sensor gateway: readings go to a push source, and none is lost when the box is away or full.

    python examples/ingest/gateway.py READINGS

Needs a running box with the source of push.sh; $PACHYBOX_URL says where.
"""

import json
import os
import random
import sys
import time
import urllib.error
import urllib.request

URL = os.environ.get("PACHYBOX_URL", "http://localhost:30600") + "/ingest/events"


def send(reading: dict[str, object]) -> None:
    """Until it is safe on the box's disk."""
    while True:
        try:
            urllib.request.urlopen(URL, json.dumps(reading).encode(), timeout=10).close()
            return
        except urllib.error.HTTPError as e:
            if e.code not in (
                429,
                503,
            ):  # full, or not ready: what else it says will not get better
                raise
            time.sleep(float(e.headers.get("Retry-After", 1)))
        except OSError:
            time.sleep(1)


for number in range(int(sys.argv[1])):
    send({"sensor": "hall", "number": number, "celsius": round(random.gauss(21, 0.5), 2)})
