"""Changing a field in the text of a spec, and nothing else: comments, order and style stay.

Each change is checked: the new text is read, and must hold just what it should. What cannot be
done so (a field given by an alias, say) is refused with NotUnderstood, and the text stays.
"""

from __future__ import annotations

import copy
import json
import re
from itertools import pairwise

from tui.spec_text import Node, NotUnderstood, Path, Spec, Value, child, plain_kind

_PLAIN = re.compile(r"[A-Za-z0-9_./$@%+=~^*-][A-Za-z0-9_ ./$@%+=~^*:\\()-]*\Z")
_WIDE = 72
_INDICATORS = "-?:,[]{}#&*!|>'\"%@`"


def put(spec: Spec, path: Path, value: Value) -> Spec:
    """The spec with ``value`` at ``path``; what is between is made. Lists and maps that are there
    already are changed item by item. Raises NotUnderstood."""
    wanted = copy.deepcopy(spec.value)
    _put_value(wanted, path, value)
    return _checked(_put(spec, path, value), wanted, path)


def drop(spec: Spec, path: Path, keep: int = 0) -> Spec:
    """The spec without the field, nor the mappings that are empty then; those of the first
    ``keep`` steps of the path stay. Comments stay. Raises NotUnderstood."""
    if spec.node(path) is None:
        return spec
    while len(path) > max(1, keep + 1):
        parent = spec.node(path[:-1])
        if parent is None or parent.id != "mapping" or len(parent.value) > 1:
            break
        if isinstance(path[-2], int):
            break
        path = path[:-1]
    wanted = copy.deepcopy(spec.value)
    _drop_value(wanted, path)
    return _checked(Spec(_dropped(spec, path)), wanted, path)


def rename(spec: Spec, path: Path, key: str) -> Spec:
    """The spec with the last step of ``path`` called ``key``. Raises NotUnderstood."""
    parent = spec.node(path[:-1])
    for name, _ in parent.value if parent is not None and parent.id == "mapping" else ():
        if name.value == path[-1]:
            text = render(key, spec.is_json, flow=bool(getattr(parent, "flow_style", False)))
            return Spec(spec.text[: spec.start(name)] + text + spec.text[spec.end(name) :])
    raise NotUnderstood(f"there is no {path[-1]}")


def write(value: dict[str, Value]) -> str:
    """A spec that has no text yet, as YAML."""
    return _block(value, 0).lstrip("\n") + "\n" if value else ""


# ---- values


def _put_value(whole: Value, path: Path, value: Value) -> None:
    at = whole
    for step, following in pairwise(path):
        if isinstance(step, int):
            if step == len(at):
                at.append([] if isinstance(following, int) else {})
            at = at[step]
            continue
        if at.get(step) is None:
            at[step] = [] if isinstance(following, int) else {}
        at = at[step]
    if not path:
        whole.clear()
        whole.update(value)
    elif isinstance(path[-1], int) and path[-1] == len(at):
        at.append(value)
    else:
        at[path[-1]] = value


def _drop_value(whole: Value, path: Path) -> None:
    at = whole
    for step in path[:-1]:
        at = at[step]
    del at[path[-1]]


def _checked(made: Spec, wanted: Value, path: Path) -> Spec:
    if _bare(made.value) != _bare(wanted):
        raise NotUnderstood(f"{path_text(path)} cannot be changed in place: change it in the text")
    return made


def same(one: Value, other: Value) -> bool:
    """Whether two specs say the same: what is null or empty is left out."""
    return bool(_bare(one) == _bare(other))


def _bare(value: Value) -> Value:
    """Without what is null or empty: a mapping whose last field went is null in YAML."""
    if isinstance(value, dict):
        bare = {k: _bare(v) for k, v in value.items()}
        return {k: v for k, v in bare.items() if v is not None and v != {} and v != []} or None
    if isinstance(value, list):
        return [_bare(v) for v in value] or None
    return None if value is None else (type(value), value)


def path_text(path: Path) -> str:
    """``input.cross[1].pfs.glob``"""
    return "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in path).lstrip(".")


# ---- text


def _put(spec: Spec, path: Path, value: Value) -> Spec:
    node = spec.node(path)
    if node is None:
        return Spec(_inserted(spec, path, value))
    if isinstance(value, list) and node.id == "sequence" and value and node.value:
        return _put_items(spec, path, value)
    if isinstance(value, dict) and node.id == "mapping" and value and node.value:
        for key, one in value.items():
            spec = _put(spec, (*path, key), one)
        for key in [k for k in spec.get(path) if k not in value]:
            spec = Spec(_dropped(spec, (*path, key)))
        return spec
    if _bare(spec.get(path)) == _bare(value):
        return spec
    return Spec(_replaced(spec, path, node, value))


def _put_items(spec: Spec, path: Path, value: list[Value]) -> Spec:
    had = spec.get(path)
    for at, one in enumerate(value):
        if at >= len(had) or _bare(one) != _bare(had[at]):
            spec = _put(spec, (*path, at), one)
    for at in range(len(had) - 1, len(value) - 1, -1):
        spec = Spec(_dropped(spec, (*path, at)))
    return spec


def _parent(spec: Spec, path: Path) -> Node:
    """The node that holds the last step; refuses what an alias gives."""
    node, above = spec.root, None
    for step in path[:-1]:
        assert node is not None
        above, node = node, child(node, step)
        if node is not None and not spec.inside(node, above):
            raise NotUnderstood(f"{path_text(path)} is given by an alias: change it in the text")
    assert node is not None
    return node


def _replaced(spec: Spec, path: Path, node: Node, value: Value) -> str:
    parent = _parent(spec, path)
    if not spec.inside(node, parent):
        raise NotUnderstood(f"{path_text(path)} is an alias: change it in the text")
    flow = bool(getattr(parent, "flow_style", False))
    start, end = spec.start(node), spec.end(node)
    text, column = spec.text, spec.column_of(spec.start(node))
    home = _column(spec, parent)
    if start == end:  # nothing was given: behind the colon or the dash
        if isinstance(value, dict) and value and not flow and not spec.is_json:
            stop = spec.line_end(start)
            return text[:stop] + _block(value, home + 2) + text[stop:]
        return f"{text[:start]} {render(value, spec.is_json, flow=True)}{text[start:]}"
    kept = spec.comments(start, end)
    filled = isinstance(value, dict | list) and value and not spec.is_json
    if filled and node.id != "scalar" and not flow and not node.flow_style:  # a block stays one
        deeper = max(column, home + 2) if isinstance(value, dict) and path else column
        made = " " * (deeper - column) + _above(kept, deeper) + _block(value, deeper).lstrip("\n ")
        return text[:start] + made + text[end:]
    pad = "" if column > home or flow else " " * (home + 2 - column)
    old = node.style if node.id == "scalar" and node.value else None
    made = render(value, spec.is_json, flow=flow, quote=old or "")
    return text[:start] + pad + _above(kept, max(column, home + 2)) + made + text[end:]


def _above(comments: list[str], column: int) -> str:
    """Comments that keep their place before a value that is new."""
    return "".join(f"{one}\n{' ' * column}" for one in comments)


def _column(spec: Spec, node: Node) -> int:
    """The column of a block's keys; in a flow that of the line."""
    if getattr(node, "flow_style", False):
        line = spec.text[spec.line_start(spec.start(node)) :]
        return len(line) - len(line.lstrip(" "))
    return spec.column_of(spec.start(node))


def _inserted(spec: Spec, path: Path, value: Value) -> str:
    """With a field where none is: as deep as there are mappings, then all of the rest."""
    depth = 0
    while depth < len(path) and spec.node(path[: depth + 1]) is not None:
        depth += 1
    for step in reversed(path[depth + 1 :]):
        value = [value] if isinstance(step, int) else {step: value}
    if spec.root is None or spec.root.id != "mapping":
        gap = "" if not spec.text or spec.text.endswith("\n") else "\n"
        return f"{spec.text}{gap}{_block({str(path[0]): value}, 0).lstrip()}\n"
    into = spec.node(path[:depth])
    step = path[depth]
    assert into is not None
    parent = _parent(spec, path[: depth + 1])
    if depth and not spec.inside(into, _parent(spec, path[:depth])):
        raise NotUnderstood(f"{path_text(path[:depth])} is an alias: change it in the text")
    if into.id == "scalar" or not parent.value:
        whole = [value] if isinstance(step, int) else {step: value}
        if into.id == "scalar" and spec.get(path[:depth]) is not None:
            raise NotUnderstood(f"{path_text(path[:depth])} has no fields: change it in the text")
        return _replaced(spec, path[:depth], into, whole)
    return _appended(spec, into, step, value)


def _appended(spec: Spec, into: Node, step: str | int, value: Value) -> str:
    """With one more member at the end of a mapping or sequence that has some."""
    text = spec.text
    last = into.value[-1][0] if into.id == "mapping" else into.value[-1]
    stop = _end_of_last(spec, into)
    if into.flow_style:
        made = render(value, spec.is_json, flow=True)
        if into.id == "mapping":
            made = f"{render(str(step), spec.is_json, flow=True)}: {made}"
        first = spec.line_of(spec.start(into))
        apart = spec.line_of(spec.start(last)) != first
        gap = "\n" + " " * spec.column_of(spec.start(last)) if apart else " "
        return f"{text[:stop]},{gap}{made}{text[stop:]}"
    column = spec.column_of(spec.start(into))
    made = _block({str(step): value} if into.id == "mapping" else [value], column)
    stop = spec.line_end(stop)
    return text[:stop] + made + text[stop:]


def _end_of_last(spec: Spec, into: Node) -> int:
    if into.id == "sequence":
        return spec.end(into.value[-1])
    key, value = into.value[-1]
    if not spec.inside(value, into):
        return spec.after_alias(key)
    return max(spec.end(value), spec.end(key))


def _dropped(spec: Spec, path: Path) -> str:
    parent = _parent(spec, path)
    if parent.id == "mapping":
        found = [at for at, (key, _) in enumerate(parent.value) if key.value == path[-1]]
        if not found:
            raise NotUnderstood(f"{path_text(path)} is merged in: change it in the text")
        at = found[0]
        key, value = parent.value[at]
        start = spec.start(key)
        end = spec.end(value) if spec.inside(value, parent) else spec.after_alias(key)
        end = max(end, spec.end(key))
    else:
        at = int(path[-1])
        start, end = spec.start(parent.value[at]), spec.end(parent.value[at])
    if end == start or spec.text[start:end].rstrip() == getattr(key_of(parent, at), "value", None):
        end += 1 if spec.text[end : end + 1] == ":" else 0
    if parent.flow_style:
        return _without_flow(spec, start, end)
    return _without_block(spec, parent, start, end)


def key_of(parent: Node, at: int) -> Node | None:
    """The key of a mapping's member; None in a sequence."""
    return parent.value[at][0] if parent.id == "mapping" else None


def _without_flow(spec: Spec, start: int, end: int) -> str:
    text = spec.text
    kept = _above(spec.comments(start, end), spec.column_of(start))
    if after := re.compile(r"\s*,[ ]*").match(text, end):
        if "\n" in after[0]:  # the comma stands alone
            comma = end + after[0].index(",")
            return text[:start] + kept + text[end:comma] + text[comma + 1 :]
        return text[:start] + kept + text[after.end() :]
    before = re.compile(r",\s*\Z").search(text, 0, start)
    return text[: before.start() if before else start] + kept + text[end:]


def _without_block(spec: Spec, parent: Node, start: int, end: int) -> str:
    text = spec.text
    if parent.id == "sequence":
        start = text.rindex("-", 0, start)
    lead = text[spec.line_start(start) : start]
    stop = spec.line_end(end)
    kept = spec.comments(start, stop)
    if lead.strip():  # first of an item: the dash before it stays
        return text[:start] + "  ".join(kept[:1]) + _more(kept[1:], len(lead)) + text[stop:]
    lines = "".join(f"{lead}{one}\n" for one in kept)
    return text[: spec.line_start(start)] + lines + text[min(stop + 1, len(text)) :]


def _more(comments: list[str], column: int) -> str:
    return "".join(f"\n{' ' * column}{one}" for one in comments)


# ---- writing values


def render(value: Value, is_json: bool, *, flow: bool = False, quote: str = "") -> str:
    """A value in one line. ``flow``: it stands within brackets; ``quote``: as it was quoted."""
    if is_json:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        inner = (f"{render(k, False, flow=True)}: {render(v, False, flow=True)}"
                 for k, v in value.items())  # fmt: skip
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(render(one, False, flow=True) for one in value) + "]"
    if isinstance(value, str):
        return _string(value, quote)
    return json.dumps(value)


def _string(text: str, quote: str) -> str:
    if quote == "'" and text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    plain = (
        quote != '"'
        and _PLAIN.match(text)
        and plain_kind(text) == "str"
        and (text[0] not in _INDICATORS or (text[0] == "-" and text[1:2].strip() != ""))
        and ": " not in text
        and text[-1] not in ": "
    )
    return text if plain else json.dumps(text, ensure_ascii=False)


def _block(value: dict[str, Value] | list[Value], column: int) -> str:
    """A mapping or sequence as lines, each behind a line break; lists of plain values in one."""
    lines, pad = "", " " * column
    if isinstance(value, list):
        for one in value:
            if isinstance(one, dict) and one:
                lines += f"\n{pad}- {_block(one, column + 2).lstrip()}"
            else:
                lines += f"\n{pad}- {render(one, False)}"
        return lines
    for key, one in value.items():
        name = render(key, False)
        if isinstance(one, dict) and one:
            lines += f"\n{pad}{name}:{_block(one, column + 2)}"
        elif isinstance(one, list) and (
            any(isinstance(item, dict) for item in one) or len(render(one, False)) > _WIDE
        ):
            lines += f"\n{pad}{name}:{_block(one, column)}"
        else:
            lines += f"\n{pad}{name}: {render(one, False)}"
    return lines
