"""The jq filters of lists: which of a handler's messages a client gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import json_format

from pachybox.api.table import Call
from pachybox.pps.scripts import Filter


def kept(found: Iterator[Any], program: str, call: Call) -> Iterator[Any]:
    """The messages for which a jq program says something other than false or null; all without
    one. It sees each as Pachyderm's command prints it with --raw: snake_case names, enums by
    name. Raises InvalidArgument when the program is wrong or runs for too long."""
    return _filtered(found, program, call) if program else found


def _filtered(found: Iterator[Any], program: str, call: Call) -> Iterator[Any]:
    with Filter(program, call.cancel.is_set) as chosen:
        for message in found:
            if call.cancel.is_set():  # what is left out is not sent, so no door would notice
                return
            record = json_format.MessageToJson(
                message, preserving_proto_field_name=True, indent=None
            )
            if chosen.keeps(record):
                yield message
