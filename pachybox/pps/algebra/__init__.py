"""From inputs to datums, whole or by difference. Pure: trees are read, nothing is written.

``parse`` the input of a spec, ``whole`` for all its datums, ``delta`` for what changed.
"""

from pachybox.pps.algebra.delta import Delta, delta, follows
from pachybox.pps.algebra.index import Indexes
from pachybox.pps.algebra.match import Combination, Found, Roots, Trees
from pachybox.pps.algebra.nodes import (
    Cross,
    Group,
    Join,
    Leaf,
    Node,
    Union,
    branches,
    leaves,
    parse,
)
from pachybox.pps.algebra.whole import whole

__all__ = [
    "Combination",
    "Cross",
    "Delta",
    "Found",
    "Group",
    "Indexes",
    "Join",
    "Leaf",
    "Node",
    "Roots",
    "Trees",
    "Union",
    "branches",
    "delta",
    "follows",
    "leaves",
    "parse",
    "whole",
]
