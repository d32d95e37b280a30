"""Writes docs/settings.md from what is known of each setting:
``python -m pachybox.cli.settings_page``. A test compares."""

from __future__ import annotations

from pathlib import Path

from pachybox.cli.settings import WEBHOOK, default_of, kind_of
from pachybox.config import SETTINGS

DOCS = Path(__file__).parent.parent.parent / "docs" / "settings.md"

_HEAD = """\
# Settings

Written by `python -m pachybox.cli.settings_page` from what `pachybox config explain` knows.

A setting is given in three ways, the first of them going before the others:

1. a flag: `pachybox up --set KEY=VALUE` (and `--port`, `--grpc-port`, `--runner`)
2. the environment of the box: `PACHYBOX_<KEY>`, as `PACHYBOX_HTTP_PORT`
3. the file `box.toml` in the data directory

```
pachybox config get                        what the box runs with, and where each value came from
pachybox config get http_port              one value
pachybox config explain backup_schedule    what it means and may be
pachybox config set logs_bytes 2GB         write it into box.toml
pachybox config set token - < token.txt    a secret, which no command line takes
pachybox config set --unset logs_bytes     take it out again
```

`config set` keeps comments, order, owner and mode of the file, replaces it atomically, and does not
write one with which the box would not start. What belongs together is set together: `config set
tls_cert CERT tls_key KEY`. A box reads its settings when it starts; changes need a restart.

An unknown key, in the file or in a command, is refused with the nearest that is known. A misspelt
variable is found by `pachybox doctor`. Sizes may be written `"2GB"` or `"1.5GiB"`, times `"1h30m"`.
A file with a secret (a token, the secret of a webhook) must be closed to others: mode 0600, which
`config set` sees to. Secrets are never taken from the environment or a command line, and never
shown.

The data directory itself is `$PACHYBOX_HOME`, or `pachybox up --home DIR`.

## Every key

| key | default | may be | meaning |
|---|---|---|---|
"""
_WEBHOOKS = """
## Webhooks

Who is told of events. Each is a table of its own at the end of `box.toml`:

```toml
[[webhook]]
url = "https://example.org/hooks/box"
events = ["job_failed", "disk"]
secret = "..."
```

| key | default | meaning |
|---|---|---|
"""


def text() -> str:
    """The whole page."""
    out = [_HEAD]
    for one in SETTINGS.values():
        cells = (f"`{one.key}`", default_of(one), kind_of(one), one.about.help)
        out.append(f"| {' | '.join(map(_cell, cells))} |\n")
    out.append(_WEBHOOKS)
    for key, default, meaning in WEBHOOK:
        out.append(f"| `{key}` | {_cell(default) or 'none'} | {_cell(meaning)} |\n")
    return "".join(out)


def _cell(value: str) -> str:
    return value.replace("|", "\\|")


def main() -> None:
    """Write the page."""
    DOCS.write_text(text())


if __name__ == "__main__":
    main()
