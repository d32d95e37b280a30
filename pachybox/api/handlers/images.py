"""pachybox.v1.API: the images of pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pachybox.api.definitions import box as ours
from pachybox.api.handlers.pps import pipeline_name
from pachybox.api.table import Call, handles
from pachybox.box import Box


@handles("pachybox.v1.API/ListImage")
def list_image(box: Box, request: Any, call: Call) -> Iterator[Any]:
    pins = box.pps.scheduler.pins
    for one in pins.all(request.projects) if pins is not None else ():
        yield ours.ImageInfo(
            pipeline=pipeline_name(one.record.pipeline),
            version=one.record.version,
            image=one.image,
            id=one.id,
            digests=one.digests,
            size_bytes=one.size,
            missing=one.missing,
        )
