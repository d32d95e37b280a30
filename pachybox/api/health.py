"""Whether the box serves (``alive``) and whether it would take a write (``ready``).

What keeps it from that is said in lines, for ``/healthz``, ``/readyz`` and the watchdog of the
service; no line is a good box. Nothing here waits: what may be stuck is asked by threads of its
own (pulse.py) or by the age of what it is at, all in monotonic time, and a slow machine is not
taken for a stuck one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pachybox.api.door import Checks
from pachybox.box import Box

WRITER_S = 180.0
"""A group of changes that takes longer is stuck: a flush to a slow card may take a minute."""
ALONE_S = 3600.0
"""So is a change that has the database to itself, as a restore."""
READ_S = 120.0
"""So is a read of one number."""
LOOK_S = 600.0
"""So is one look of the scheduler, which may stop containers."""


def alive(box: Box) -> list[str]:
    """Why the box does not serve any more, a line a reason; none when it does, or is stopping.

    A restart is the remedy of whatever is said here.
    """
    return [] if box.stopping else list(_dead(box))


def ready(box: Box) -> list[str]:
    """Why a write would not be taken now, a line a reason; none when it would."""
    if box.stopping:
        return ["the box is stopping"]
    if not box.started_up:
        return ["the box is starting"]
    return [*_dead(box), *_refusing(box)]


def checks(box: Box) -> Checks:
    """Both, by the path that asks."""
    return {"/healthz": partial(alive, box), "/readyz": partial(ready, box)}


def _dead(box: Box) -> Iterator[str]:
    for name, thread in box.vital():
        if thread.ident is not None and not thread.is_alive():
            yield f"the thread of {name} has ended"
    seconds, alone = box.meta.at_work()
    if seconds > (ALONE_S if alone else WRITER_S):
        yield f"the metadata's writer has been at one group of changes for {seconds:.0f} s"
    seconds, _ = box.meta.reading.beat()
    if seconds > READ_S:
        yield f"a read of the metadata has waited for {seconds:.0f} s"
    seconds = box.pps.scheduler.at_work()
    if seconds > LOOK_S:
        yield f"the scheduler has been at one look for {seconds:.0f} s"
    for door in box.doors:
        yield from door()


def _refusing(box: Box) -> Iterator[str]:
    yield from box.space.refusals()
    if error := box.meta.reading.beat()[1]:
        yield f"the metadata cannot be read: {error}"
    if box.meta.failing and (error := box.meta.writing.beat()[1] or box.meta.failing):
        yield f"the metadata cannot be written: {error}"
