"""JSON text to request messages, with errors that name the field and the nearest known one.

``json_format`` does the parsing; what went wrong is then looked up in the JSON itself,
because its own messages are many lines long and suggest nothing.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from pachybox.errors import InvalidArgument

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

_MAX_DEPTH = 100
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_UNREADABLE = (
    json_format.ParseError,
    ValueError,
    TypeError,
    AttributeError,
    KeyError,
    RecursionError,
    OverflowError,
)  # what json_format raises for values that do not fit


def parse(text: bytes | bytearray, cls: Any, ignored: Callable[[str], object] | None = None) -> Any:
    """A message of class ``cls`` from JSON; from nothing, an empty message.

    Names are accepted in lowerCamelCase and in snake_case. Raises InvalidArgument naming
    what cannot be read. An unknown field is refused, or with ``ignored`` left out and told to it.
    """
    message = cls()
    if not text or text == b"{}" or text.isspace():
        return message
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as e:
        raise InvalidArgument("the request cannot be read: it has half a surrogate pair") from e
    except RecursionError as e:
        raise InvalidArgument("the request is nested too deeply") from e
    except (ValueError, UnicodeDecodeError) as e:
        raise InvalidArgument(f"the request is not JSON: {e}", "send one JSON object") from e
    if not isinstance(value, dict):
        raise InvalidArgument(
            f"the request is {_kind_of(value)}, not a JSON object", "wrap it in braces"
        )
    try:
        return json_format.ParseDict(value, message, max_recursion_depth=_MAX_DEPTH)
    except _UNREADABLE as e:
        unknown = _unknown_field(value, message.DESCRIPTOR, "", 0)
        if unknown is None:
            raise InvalidArgument(f"the request cannot be read: {_one_line(e)}") from e
        if ignored is None:
            raise unknown from e
    ignored(str(unknown))
    try:
        return json_format.ParseDict(
            value, cls(), ignore_unknown_fields=True, max_recursion_depth=_MAX_DEPTH
        )
    except _UNREADABLE as e:
        raise InvalidArgument(f"the request cannot be read: {_one_line(e)}") from e


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _kind_of(value: object) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _one_line(error: Exception) -> str:
    text = re.sub(r"\s+", " ", str(error)).strip().rstrip(".")
    return text.removeprefix("Failed to parse ") if len(text) < 300 else text[:300] + "..."


def _unknown_field(
    value: Any, descriptor: Descriptor, path: str, depth: int
) -> InvalidArgument | None:
    """The error for the first name in ``value`` the message has no field for, if any."""
    if depth > _MAX_DEPTH or descriptor.full_name.startswith("google.protobuf."):
        return None
    if isinstance(value, list):
        found = (_unknown_field(v, descriptor, path, depth + 1) for v in value)
        return next((error for error in found if error), None)
    if not isinstance(value, dict):
        return None
    known: dict[str, FieldDescriptor] = {f.json_name: f for f in descriptor.fields}
    by_name = {f.name: f for f in descriptor.fields}
    for name, inner in value.items():
        field = known.get(name) or by_name.get(name)
        if field is None:
            near = difflib.get_close_matches(name, [*known, *by_name], 1)
            hint = f"did you mean {near[0]!r}" if near else "known: " + ", ".join(known)
            if not known:
                hint = "this message has no fields"
            where = f" in {path}" if path else ""
            return InvalidArgument(f"unknown field {name!r}{where} of {descriptor.full_name}", hint)
        error = _inside(inner, field, f"{path}.{name}" if path else name, depth)
        if error is not None:
            return error
    return None


def _inside(value: Any, field: FieldDescriptor, path: str, depth: int) -> InvalidArgument | None:
    if field.message_type is None:
        return None
    if not field.message_type.GetOptions().map_entry:
        return _unknown_field(value, field.message_type, path, depth + 1)
    inner = field.message_type.fields_by_name["value"].message_type
    if inner is None or not isinstance(value, dict):
        return None
    return _unknown_field(list(value.values()), inner, path, depth + 1)
