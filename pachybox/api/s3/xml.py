"""XML as S3 speaks it: written as text, read with every door of XML's shut but elements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.parsers import expat

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
MOST_BYTES = 4 << 20
"""Of a document. 1,000 keys of 1,024 bytes to delete, or 10,000 parts with checksums, fit."""

_MOST_DEPTH = 16
_MOST_NODES = 200_000
# perf: most texts need nothing
_SPECIAL = re.compile(r"[&<>\"\x00-\x1f\x7f\ufffe\uffff]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def escape(text: str) -> str:
    """``text`` as an element's content. What XML cannot hold becomes a character reference, as
    Amazon does; clients who fear that ask for ``encoding-type=url``."""
    return _SPECIAL.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    return _ENTITIES.get(match[0]) or f"&#x{ord(match[0]):x};"


_BEYOND = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def holds(text: str) -> bool:
    """Whether XML can hold ``text`` so that every reader takes it."""
    return _BEYOND.search(text) is None


def tag(name: str, text: str | int) -> str:
    """One element."""
    return f"<{name}>{escape(str(text))}</{name}>"


def document(root: str, inner: str) -> bytes:
    """A whole document of S3's namespace; ``inner`` is XML already."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} xmlns="{NAMESPACE}">{inner}</{root}>'
    ).encode()


class MalformedXML(ValueError):
    """Bytes that are not a document to be read here."""


class Node:
    """An element: its name without a namespace, its text, its children."""

    __slots__ = ("children", "name", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = ""
        self.children: list[Node] = []

    def all(self, name: str) -> Iterator[Node]:
        """The children of that name."""
        return (child for child in self.children if child.name == name)

    def get(self, name: str) -> str | None:
        """The text of the first child of that name; None without one."""
        for child in self.children:
            if child.name == name:
                return child.text
        return None

    def word(self, name: str) -> str:
        """The text of the first child of that name without space around; "" without one."""
        return (self.get(name) or "").strip()


def parse(data: bytes | bytearray) -> Node:
    """The root of a document.

    Raises MalformedXML: not well-formed, a document type or entity declared (their expansion is
    a weapon), too deep, too many elements.
    """
    return _Reader().read(bytes(data))


class _Reader:
    def __init__(self) -> None:
        self._stack = [Node("")]
        self._texts: list[list[str]] = [[]]
        self._nodes = 0

    def read(self, data: bytes) -> Node:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        try:
            parser.Parse(data, True)
        except (expat.ExpatError, UnicodeError, LookupError) as e:
            raise MalformedXML(str(e)) from None
        return self._stack[0].children[0]

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._nodes += 1
        if len(self._stack) > _MOST_DEPTH or self._nodes > _MOST_NODES:
            raise MalformedXML("too many elements")
        node = Node(name.rpartition(":")[2])
        self._stack[-1].children.append(node)
        self._stack.append(node)
        self._texts.append([])

    def _end(self, name: str) -> None:
        self._stack.pop().text = "".join(self._texts.pop())

    def _text(self, text: str) -> None:
        self._texts[-1].append(text)

    def _refuse(self, *declaration: object) -> None:
        raise MalformedXML("a document type is declared")
