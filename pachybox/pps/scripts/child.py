"""The process of one caller's program: ``python child.py jq|regex|jsonnet``. It imports nothing
of the box, so that it starts fast.

A line of JSON in, a line of JSON out: ``{"ok": ...}`` or ``{"error": text}``. Before it reads
anything it gives up files, memory and time beyond what it needs.
"""

from __future__ import annotations

import json
import re
import resource
import sys
from collections.abc import Callable
from typing import Any

_MEMORY = 1 << 30  # address space; the libraries alone take a quarter
_CPU_S = 120  # all records of a list together
_STACK = 500  # calls within calls of a template

Answer = Callable[[Any], Any]


def main() -> int:
    """Serve one program on stdin and stdout until stdin ends."""
    answer = {"jq": _filter, "regex": _patterns, "jsonnet": _template}[sys.argv[1]]()
    _confine()
    _say({"ok": None})
    for line in sys.stdin:
        try:
            said = {"ok": answer(json.loads(line))}
        except MemoryError:
            said = {"error": "out of memory"}
        except (ValueError, RuntimeError, RecursionError) as e:
            said = {"error": str(e) or type(e).__name__}
        _say(said)
    return 0


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _confine() -> None:
    """No more files than the three that are open, no larger ones, no core, bounded memory."""
    for what, most in (
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_CPU, _CPU_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 3),
    ):
        resource.setrlimit(what, (most, most))


def _filter() -> Answer:
    """jq: the first line is the program, the others are records."""
    import jq

    jq.compile(".").input_value(None).first()  # all it loads late is loaded now
    program: Any = None

    def answer(value: Any) -> Any:
        nonlocal program
        if program is None:
            program = jq.compile(value)
            return None
        first = next(iter(program.input_value(value)), None)
        return first is not None and first is not False

    return answer


def _patterns() -> Answer:
    """Regular expressions: the first line is all of them, the others are texts."""
    patterns: list[re.Pattern[str]] | None = None

    def answer(value: Any) -> Any:
        nonlocal patterns
        if patterns is None:
            try:
                patterns = [re.compile(one) for one in value]
            except (re.error, OverflowError) as e:
                raise ValueError(str(e)) from e
            return None
        return all(one.search(value) for one in patterns)

    return answer


def _template() -> Answer:
    """jsonnet: a template and its arguments."""
    import rjsonnet

    rjsonnet.evaluate_snippet("template", "{}")

    def answer(value: Any) -> Any:
        return rjsonnet.evaluate_snippet(
            "template",
            value["template"],
            max_stack=_STACK,
            tla_vars=value["args"],
            import_callback=_no_imports,
        )

    return answer


def _no_imports(_folder: str, name: str) -> Any:
    raise ValueError(f"{name}: a template sent to a box cannot import files; put all into one")


if __name__ == "__main__":
    sys.exit(main())
