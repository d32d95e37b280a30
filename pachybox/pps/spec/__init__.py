"""Pipeline specs: from what a user wrote to what the box runs. Pure.

``documents`` reads JSON or YAML into values that know their lines; ``fields`` is the table
of every field; ``shape`` holds a document against the table; ``check`` applies rules and
defaults.
"""

from pachybox.pps.spec.check import Spec, from_message_dict, load, problems
from pachybox.pps.spec.documents import Problem

__all__ = ["Problem", "Spec", "from_message_dict", "load", "problems"]
