"""Steps of an installation as people and programs see them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pachybox.cli.app import App
from pachybox.cli.output import visible

if TYPE_CHECKING:
    from pachybox.placing import Step


def told(app: App, steps: Iterable[Step], *, dry: bool) -> list[Step]:
    """Take the steps of an installation, saying each as it is done, or with ``dry`` would be."""
    done = []
    for step in steps:
        done.append(step)
        if app.output.form:
            app.output.raw({"what": step.what, "where": step.where, "state": str(step.state)})
        else:
            word = f"{step.state}{', if it were run' if dry and step.state != 'kept' else ''}"
            app.output.line(f"{step.what}: {visible(step.where)} ({word})")
    return done
