"""A repo of 1,000,000 files: small commits, listings and differences, beside small repos."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.harness import Box, below, fill, grows, label, median, note, running, scaled, timed
from pachybox.client import Client

FAN = 100  # folders at the top, and files in a folder
TIMES = 15


def tree(count: int) -> Iterator[str]:
    """``count`` paths, three levels deep: /aNN/bNN/fNN."""
    middle = -(-count // (FAN * FAN))
    for number in range(count):
        top, rest = divmod(number, middle * FAN)
        yield f"/a{top:02d}/b{rest // FAN:02d}/f{rest % FAN:02d}"


def flat(count: int) -> Iterator[str]:
    """``count`` paths in one directory."""
    return (f"/flat/file-{number:07d}" for number in range(count))


def one_file_commit(box: Box, repo: str, path: str) -> float:
    """Median seconds of the command that changes one file, start to durable."""
    seconds = []
    for number in range(TIMES):
        data = f"change {number}".encode()
        command = partial(box.cli, "put", "file", f"{repo}@master:{path}", stdin=data)
        seconds.append(timed(command))
    return statistics.median(seconds)


def reading(client: Client, repo: str) -> dict[str, float]:
    """Median milliseconds of each kind of reading, by a client that stays connected."""

    def all_of(make: Callable[[], Iterator[object]]) -> float:
        assert len(list(make())) > 0
        return 1000 * median(lambda: list(make()), TIMES)

    return {
        "list a directory": all_of(lambda: iter(client.list_file(f"{repo}@master:/a00/b00"))),
        "glob /* with sizes": all_of(lambda: iter(client.glob_file(f"{repo}@master:/*"))),
        "diff of adjacent commits": all_of(lambda: iter(client.diff_file(f"{repo}@master:/"))),
    }


def main() -> None:
    """Fill the repos, then compare the large with the small."""
    large, middle, small = scaled(1_000_000, 20_000), scaled(10_000, 2_000), 1_000
    with running("large repo") as box, box.client() as client:
        for repo, paths in (
            ("large", tree(large)),
            ("middle", tree(middle)),
            ("small", tree(small)),
            ("flatlarge", flat(large)),
            ("flatsmall", flat(small)),
        ):
            note(f"filling {repo}")
            client.create_repo(repo)
            fill(client, f"{repo}@master", paths)

        note("one-file commits")
        first = next(tree(1))
        grows(
            f"one-file commit on {label(large)} files, command to durable",
            1000 * one_file_commit(box, "large", first),
            "ms",
            1000 * one_file_commit(box, "small", first),
            f"on {label(small)}",
            2,
        )
        path = f"/flat/file-{small // 2:07d}"
        grows(
            f"one-file commit in a directory of {label(large)}",
            1000 * one_file_commit(box, "flatlarge", path),
            "ms",
            1000 * one_file_commit(box, "flatsmall", path),
            f"in one of {label(small)}",
            3,
        )

        note("reading")
        client.put_file(f"middle@master:{first}", b"changed")
        at_middle, at_large = reading(client, "middle"), reading(client, "large")
        for what, ms in at_large.items():
            name = f"{what}, {label(large)} files"
            below(name, ms, "ms", 5, "request and answer over the socket")
            grows(f"{name} (growth)", ms, "ms", at_middle[what], f"at {label(middle)}", 3)


if __name__ == "__main__":
    main()
