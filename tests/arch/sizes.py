"""A report of sizes, not a gate: medians, and what is long enough to ask why. Run by make check."""

from __future__ import annotations

import ast
import statistics

from tests.arch.repo import CODE, files, name

ASK_FILE, ASK_FUNCTION = 400, 50


def main() -> None:
    """Print one line of medians, then one line for each long file and function."""
    modules: list[tuple[int, str]] = []
    functions: list[tuple[int, str]] = []
    for part in CODE:
        for path in files(".py", under=part):
            text = path.read_text()
            if not text.strip():
                continue
            modules.append((len(text.splitlines()), name(path)))
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    length = (node.end_lineno or node.lineno) - node.lineno + 1
                    functions.append((length, f"{name(path)}:{node.lineno} {node.name}"))
    for what, ask, sizes in (
        ("files", ASK_FILE, modules),
        ("functions", ASK_FUNCTION, functions),
    ):
        lengths = [length for length, _ in sizes]
        print(
            f"{len(sizes)} {what}: median {statistics.median(lengths):.0f}, longest {max(lengths)}"
        )
        for length, where in sorted(sizes, reverse=True):
            if length > ask:
                print(f"  {length:4} {where}")


if __name__ == "__main__":
    main()
