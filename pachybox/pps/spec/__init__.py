"""Pipeline specs: from what a user wrote to what the box runs. Pure.

``documents`` reads JSON or YAML into values that know their lines; ``fields`` is the table
of every field; ``shape`` holds a document against the table; ``rules`` and ``inputs`` say what
may stand together; ``check`` applies them and the defaults.
"""

from pachybox.pps.spec.check import (
    Spec,
    examine,
    from_message_dict,
    load,
    load_input,
    problems,
)
from pachybox.pps.spec.documents import Problem

__all__ = ["Problem", "Spec", "examine", "from_message_dict", "load", "load_input", "problems"]
