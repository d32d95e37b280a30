"""Takes secrets out of what leaves the machine: by the names of fields, by known values, and by
what secrets look like.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

LEFT_OUT = "(left out)"
_SHORTEST = 6  # characters of a known value; shorter ones are in every text by chance

_VALUES_HIDDEN = re.compile(r"env|environment|annotations|labels|headers", re.I)
_HIDDEN = re.compile(
    r".*(password|passwd|passphrase|secret|token|credential|api_?key|access_?key|private_?key|auth)"
    r".*|stdin|err_?stdin|pod_?patch|pod_?spec|salt|user_?spec.*",
    re.I,
)
_SAID = re.compile(r"reason|error|offset.*", re.I)  # maybe in words of user code
_NAMES_ONLY = re.compile(r"(image_?pull_?)?secrets", re.I)  # secrets by name, which is none
_COMMANDS = re.compile(r"cmd|err_?cmd|entrypoint", re.I)

_WORD = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|token|api[_-]?key|access[_-]?key|signature|credential)"
)
_SCALAR = r"true\b|false\b|null\b|\d+\b"
_PATTERNS = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*-----|\Z)", re.S), ""),
    (re.compile(r"(?<=://)[^/\s\"']+(?=@)"), ""),
    (re.compile(r"(://[^\s\"'?]+\?)[^\s\"'\\]+"), r"\1"),  # what an address asks for
    (re.compile(r"\bpb_[A-Za-z0-9_-]{16,}"), ""),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}"), ""),
    (re.compile(r"\b(?:gh[a-z]_|github_pat_|glpat-|xox[a-z]-|sk-)[A-Za-z0-9_-]{16,}"), ""),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]{8,}"), ""),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.I), r"\1 "),
    (re.compile(r"\b(x-amz-[a-z-]+|authorization|authn-token|cookie)(=|:\s*)"
                r"(?!\()[^\s&\"',]+", re.I), r"\1\2"),
    (re.compile(rf"(\b\w*{_WORD}\w*\\*[\"']?\s*[=:]\s*(\\*[\"']))"
                r"(?!\()(?:(?!\2)(?:\\.|[^\n]))+?(?=\2)", re.I), r"\1"),
    (re.compile(rf"(\b\w*{_WORD}\w*\\*[\"']?\s*[=:]\s*)(\\*[\"']?)"
                rf"(?!{_SCALAR}|[(\[{{\"'\\])[^\s\"',&}}\]]+", re.I), r"\1\2"),
    (re.compile(r"(\bcrashed: |\breason=).*"), r"\1"),
)  # fmt: skip
"""What secrets look like in texts, and what stays of it. The last is what user code said last."""


class Redactor:
    """Knows values that must not get out; learns more from what it is given."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._known = {value for value in known if len(value) >= _SHORTEST}

    def learn(self, value: str) -> None:
        """Leave ``value`` out from now on."""
        if len(value) >= _SHORTEST:
            self._known.add(value)

    def text(self, text: str) -> str:
        """``text`` without what is known, and what looks like it."""
        written = {json.dumps(value, ensure_ascii=False)[1:-1] for value in self._known}
        for value in sorted(self._known | written, key=len, reverse=True):
            text = text.replace(value, LEFT_OUT)
        for pattern, stays in _PATTERNS:
            text = pattern.sub(stays + LEFT_OUT, text)
        return text

    def record(self, value: Any) -> Any:
        """``value`` (of JSON) with hidden fields left out; what was there is learned."""
        if isinstance(value, dict):
            return {key: self._field(str(key), inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.record(inner) for inner in value]
        return value

    def _field(self, key: str, value: Any) -> Any:
        if _NAMES_ONLY.fullmatch(key):
            return value
        if _SAID.fullmatch(key) and value:
            return LEFT_OUT
        if _HIDDEN.fullmatch(key) and isinstance(value, str | list | dict) and value:
            if key.lower() == "secret" and isinstance(value, dict):
                return value  # one of the box's, by name and key
            self._learn_all([value])
            return LEFT_OUT
        if _COMMANDS.fullmatch(key) and isinstance(value, list) and value:
            return [value[0], *([LEFT_OUT] if value[1:] else [])]
        if key.lower().endswith("json") and isinstance(value, str):
            return self._packed(value)
        if _VALUES_HIDDEN.fullmatch(key) and isinstance(value, dict | list):
            return self._without_values(value)
        return self.record(value)

    def _packed(self, text: str) -> Any:
        """JSON in a text, opened."""
        try:
            return self.record(json.loads(text))
        except ValueError:
            return LEFT_OUT

    def _without_values(self, value: Any) -> Any:
        """The names in a map, or in a list of name and value."""
        if isinstance(value, dict):
            self._learn_all(list(value.values()))
            return dict.fromkeys(value, LEFT_OUT)
        return [
            {"name": inner.get("name", ""), "value": self._learned(inner.get("value"))}
            if isinstance(inner, dict)
            else self._learned(inner)
            for inner in value
        ]

    def _learned(self, value: Any) -> str:
        self._learn_all([value])
        return LEFT_OUT

    def _learn_all(self, values: list[Any]) -> None:
        for value in values:
            if isinstance(value, str):
                self.learn(value)
            elif isinstance(value, dict | list):
                self._learn_all(list(value.values()) if isinstance(value, dict) else value)
