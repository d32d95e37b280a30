"""Pipeline specs: from what a user wrote to what the box runs. Pure.

``documents`` reads JSON or YAML into values that know their lines; ``fields`` is the table
of every field; ``shape`` holds a document against the table; ``rules`` and ``inputs`` say what
may stand together; ``check`` applies them and the defaults; ``overlay`` lays the defaults that
were set for the box or a project under a spec.
"""

from pachybox.pps.spec.check import (
    Examined,
    Spec,
    examine,
    from_message_dict,
    load,
    load_draft,
    load_input,
    problems,
    read_values,
)
from pachybox.pps.spec.documents import Problem
from pachybox.pps.spec.overlay import DefaultsOf, merged, no_defaults, read_defaults
from pachybox.pps.spec.several import Given, Text, Told, examine_all, load_all

__all__ = [
    "DefaultsOf",
    "Examined",
    "Given",
    "Problem",
    "Spec",
    "Text",
    "Told",
    "examine",
    "examine_all",
    "from_message_dict",
    "load",
    "load_all",
    "load_draft",
    "load_input",
    "merged",
    "no_defaults",
    "problems",
    "read_defaults",
    "read_values",
]
