"""Chance for the fuzzers: odd values, and small damage done to what is valid."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

ID = "0123456789abcdef0123456789abcdef"
"""Stands for the id of a commit and job of the world; see ``world.py``."""
DATUM = "d" * 64
"""Stands for the id of a datum."""

NAMES = (
    "images", "master", "edges", "default", "other", "key", "user", "spec", "meta", "staging",
    "images@master", "default/images", "/", "/a.txt", "/dir/b", "/*", "/**", "glob:/(*)", ID, DATUM,
    f"images@{ID}", "sh", "1h", "x",
)  # fmt: skip
ODD = (
    "", " ", ".", "..", "/..", "../../etc/passwd", "//", "/a//b", "a\x00b", "\x7f", "\r\n", "%00",
    "%2e%2e%2f", "ünï", "日本", "\U0001f600", "e\u0301", "\u202e", "*", "(", "[", "{,", "$1", "@",
    ":",
    "^", "HEAD^2", "master^^^^", "-1", "--help", "null", "true", "NaN", "1e999", "0x10", "\\",
    "a" * 300, "/" + "d/" * 600, "a" * 5000, "http://127.0.0.1:1/", "file:///dev/null/x",
    "${HOME}", "{{.}}", "';--", "<x>", "0" * 32, "g" * 32, ID[:5], "9" * 40,
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 10, 127, 255, 256, 65535, 1 << 20, 2**31 - 1, -(2**31), 2**32, 2**53 + 1,
           2**63 - 1, -(2**63), 2**64 - 1)  # fmt: skip
FLOATS = (0.0, -0.0, 0.5, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf"))
BYTES = (b"", b"\x00", b"\xff\xfe", b"{}", b"x" * 2000, b'{"a":1}', b"\n", b"\xc3\x28")


class Noise(random.Random):
    """A source of chance with a taste for what goes wrong."""

    def once_in(self, count: int) -> bool:
        return self.randrange(count) == 0

    def word(self) -> str:
        """A name of the world, mostly; else something odd, or one with something odd in it."""
        kind = self.random()
        if kind < 0.65:
            return self.choice(NAMES)
        if kind < 0.9:
            return self.choice(ODD)
        return self.choice(NAMES) + self.choice(ODD)

    def number(self) -> int:
        return self.choice(NUMBERS) if self.random() < 0.8 else self.randrange(-(2**63), 2**64)

    def damaged(self, data: bytes, most: int = 4) -> bytes:
        """``data`` with up to ``most`` places cut, doubled, overwritten or filled."""
        made = bytearray(data)
        for _ in range(self.randint(1, most)):
            at = self.randrange(len(made) + 1)
            end = min(len(made), at + self.choice((1, 1, 1, 2, 4, 16, 200)))
            match self.randrange(7):
                case 0 if at < len(made):
                    made[at] ^= 1 << self.randrange(8)
                case 1 if at < len(made):
                    made[at] = self.choice((0, 1, 0x7F, 0x80, 0xFF, self.randrange(256)))
                case 2:
                    del made[at:end]
                case 3:
                    made[at:at] = made[at:end]
                case 4:
                    made[at:at] = self.randbytes(self.choice((1, 2, 8, 100)))
                case 5:
                    made[at:at] = self.choice(ODD).encode("utf-8", "surrogatepass")
                case _:
                    del made[at:]
        return bytes(made)

    def json(self, value: Any, depth: int = 0) -> Any:
        """``value`` with something wrong in one place of it."""
        if depth < 8 and isinstance(value, dict) and value and self.random() < 0.8:
            key = self.choice(list(value))
            match self.randrange(8):
                case 0:
                    return {k: v for k, v in value.items() if k != key}
                case 1:
                    return {**value, self.word(): self.json_value(depth)}
                case 2:
                    return {(self.word() if k == key else k): v for k, v in value.items()}
                case _:
                    return {**value, key: self.json(value[key], depth + 1)}
        if depth < 8 and isinstance(value, list) and value and self.random() < 0.8:
            at = self.randrange(len(value))
            if self.once_in(4):
                return value * self.choice((0, 2, 50))
            return [*value[:at], self.json(value[at], depth + 1), *value[at + 1 :]]
        return self.json_value(depth)

    def json_value(self, depth: int = 0) -> Any:
        """Any JSON."""
        makers: tuple[Callable[[], Any], ...] = (
            lambda: None,
            lambda: self.once_in(2),
            self.number,
            lambda: str(self.number()),
            lambda: self.choice(FLOATS),
            self.word,
            self.word,
            lambda: [self.json_value(depth + 1) for _ in range(self.randrange(4))],
            lambda: {self.word(): self.json_value(depth + 1) for _ in range(self.randrange(4))},
            self._deep,
        )
        return makers[self.randrange(len(makers) if depth < 3 else 7)]()

    def _deep(self) -> Any:
        made: Any = 1
        for _ in range(self.choice((20, 90, 150, 400))):
            made = [made] if self.once_in(2) else {"a": made}
        return made

    def json_bytes(self, value: Any) -> bytes:
        """``value`` written, in one of the ways JSON may be, or may not be."""
        text = json.dumps(value, ensure_ascii=self.once_in(2))
        match self.randrange(24):
            case 0:
                text = "[" * self.choice((50, 5000, 100_000)) + text
            case 1:
                text = text.replace(":", ": " + '{"a":' * self.choice((30, 3000)), 1)
            case 2:
                text = text.replace('"', '"\\ud800', 1)
            case 3:
                text = f"{text}{text}"
            case 4:
                text = text.replace("}", f', "repo": {text}, "repo": 1}}', 1)
            case 5:
                text = text.replace("1", "1" * self.choice((30, 400, 5000)), 1)
            case 6:
                text = f"\ufeff{text}"
        data = text.encode("utf-8", "surrogatepass")
        return self.damaged(data) if self.once_in(4) else data
