"""What YAML 1.2 makes of plain scalars: only true and false are booleans, numbers are decimal, all
else is text."""

from __future__ import annotations

PLAIN = (
    ("null", r"(?:~|null|Null|NULL|)\Z", ("~", "n", "N", "")),
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)\Z", "tTfF"),
    ("int", r"[-+]?[0-9]+\Z", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z",
        "-+.0123456789",
    ),
    ("merge", r"<<\Z", "<"),
)
"""(a type's name, the pattern of its scalars, the characters one may begin with; "" is none)."""
