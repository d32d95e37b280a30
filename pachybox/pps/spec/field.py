"""What one field of a spec is: its path, kind and status. Values only; no I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """The shape of a value; the text is what an error says was expected."""

    STRING = "a string"
    STRINGS = "a list of strings"
    INT = "a whole number"
    INTS = "a list of whole numbers"
    NUMBER = "a number"
    BOOL = "true or false"
    DURATION = 'a duration like "300s"'
    QUANTITY = 'a quantity like "64M"'
    JSON = "a string of JSON"
    MAP = "an object of strings"
    OBJECT = "an object"
    OBJECTS = "a list of objects"
    INPUTS = "a list of inputs"


class Status(Enum):
    """What becomes of a field; the text is how the documents call it."""

    BUILT = "works"
    NO_MEANING = "stored"
    """Nothing to do on one machine: checked, kept with the pipeline, warned of by name."""
    CLUSTER = "works in a cluster"
    """Says how Pods are made: with another runner kept, and warned of by name."""
    LATER = "refused"
    """Would change what happens and is not built: refused, never ignored."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field. ``since`` lists the lines that have it: ``1`` is 1.11, ``2`` all of 2.x.

    ``also``: further spellings. ``refusal`` and ``instead``: what is said and advised
    when a LATER field is refused, ``warning`` what is said of one that is NO_MEANING or CLUSTER,
    where the usual words do not do. ``by_presence``: even an empty object asks for the behaviour.
    ``words``: the only strings it may be, besides the empty one.
    """

    path: str
    kind: Kind
    since: str
    status: Status
    doc: str
    default: str = ""
    also: tuple[str, ...] = ()
    refusal: str = ""
    instead: str = ""
    warning: str = ""
    by_presence: bool = False
    words: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The last part of the path, in snake_case."""
        return self.path.rpartition(".")[2]

    @property
    def parent(self) -> str:
        """The path of the object it is in; empty at the top."""
        return self.path.rpartition(".")[0]

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every accepted name: snake_case, lowerCamelCase, and odd ones."""
        return tuple(dict.fromkeys((self.name, camel(self.name), *self.also)))


def camel(name: str) -> str:
    """lowerCamelCase as protobuf's JSON spells it: ``s3_out`` is ``s3Out``."""
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)
