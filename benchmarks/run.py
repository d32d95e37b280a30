"""Run the benchmarks (all, or those named) and renew the table of docs/performance.md.

    python benchmarks/run.py [NAME ...]      NAME is a script here without .py

Rows of benchmarks that were not run stay as they are. Exit 1 when a script fails; a figure that
misses what is asked of it is shown as such and fails nothing, for machines differ.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"
HEAD = ["| what | figure | beside it | ratio | asked | |", "|---|---|---|---|---|---|"]
HELPERS = {
    "__init__",
    "bare",
    "harness",
    "jobs",
    "offline",
    "post_load",
    "run",
    "s3_load",
    "soak_ingest",
    "tui",
}

Record = dict[str, object]


def cells(row: Record) -> str:
    """One line of the table."""
    ratio = "" if row.get("ratio") is None else f"{row['ratio']:g}"
    met = {True: "met", False: "**missed**", None: ""}[row.get("met")]  # type: ignore[index]
    figure = f"{row['figure']:,g} {row['unit']}"
    return f"| {row['name']} | {figure} | {row['beside']} | {ratio} | {row['target']} | {met} |"


def table(text: str, rows: list[Record], machine: str) -> str:
    """The page with the rows replaced or added by name, and the machine they were measured on."""
    before, _, rest = text.partition(BEGIN)
    old, _, after = rest.partition(END)
    lines = {
        line.split("|")[1].strip(): line
        for line in old.splitlines()
        if line.startswith("| ") and line not in HEAD
    }
    lines |= {str(row["name"]): cells(row) for row in rows}
    body = "\n".join([BEGIN, "", machine, "", *HEAD, *lines.values(), "", END])
    return before + body + after


def run(script: Path, folder: Path) -> list[Record]:
    """The rows a script printed; CalledProcessError when it failed."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{script.stem}"],
        cwd=HERE.parent,
        env={**os.environ, "PACHYBOX_BENCH_DIR": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    print(*(line for line in lines if not line.startswith("{")), sep="\n", file=sys.stderr)
    return [json.loads(line) for line in lines if line.startswith("{")]


def describe() -> str:
    """The machine and the date in one line."""
    from benchmarks.harness import machine

    m = machine()
    return (
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {m['cores']} cores of {m['cpu']}, "
        f"{m['memory_gib']} GiB, {m['file_system']}, Linux {m['kernel']}, Python {m['python']}, "
        f"DuckDB {m['duckdb']}."
    )


def main(names: list[str]) -> int:
    """See the module."""
    scripts = {path.stem: path for path in sorted(HERE.glob("*.py")) if path.stem not in HELPERS}
    if unknown := set(names) - set(scripts):
        print(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(scripts)}")
        return 2
    rows: list[Record] = []
    failed = []
    folder = Path(tempfile.mkdtemp(prefix="pachybox-bench-", dir=os.environ.get("TMPDIR")))
    try:
        for name in names or scripts:
            print(f"== {name}", file=sys.stderr, flush=True)
            try:
                found = run(scripts[name], folder)
            except subprocess.CalledProcessError:
                failed.append(name)
                continue
            rows += found
            print("\n".join(map(json.dumps, found)), flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if rows and os.environ.get("PACHYBOX_BENCH_SCALE", "1") == "1":
        PAGE.write_text(table(PAGE.read_text(), rows, describe()))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
