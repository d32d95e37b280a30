"""Trials: running a spec on a sample of datums, again and again, without committing anything."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pachybox.client.base import BOX, Base, Stream
from pachybox.client.names import full_name
from pachybox.client.trial_values import TrialEvent
from pachybox.client.values import Json


class Trials(Base):
    """Methods on trials: sessions in which a spec is tried."""

    def open_trial(self) -> Stream[TrialEvent]:
        """Open a session: a stream of what happens in it, and its life. The first event names it
        (``event.trial``); closing the stream ends it, and nothing is left behind."""
        return self.stream(BOX, "OpenTrial").map(TrialEvent.from_json)

    def run_trial(
        self,
        trial: str,
        spec: str | Json,
        *,
        source: str = "",
        pipeline: str = "",
        sample: int = 3,
        datums: Iterable[str] = (),
        inputs: Iterable[str] = (),
        fileset: str = "",
        programs: Iterable[str] = (),
        place: str = "",
        build: str | Json = "",
        runner: str = "",
    ) -> int:
        """Begin a run in a session; the one before is cancelled. Returns its number.

        ``sample`` datums are run, spread evenly over all (0: all), or those of ``datums``: ids, or
        paths of inputs. ``inputs`` (``repo@ref``) are read in place of heads. ``fileset`` holds
        what changed in the source code since the last run, ``programs`` the paths of all its
        files that may be executed; code sees it at ``place``, and starts there, unless the spec
        has a working_dir. With ``build``, the spec of a pipeline that builds, the source is what
        that reads. ``pipeline`` chooses one of several specs; ``source`` is as in
        ``create_pipelines``.
        """
        answer = self.call(
            BOX,
            "RunTrial",
            trial=trial,
            text=spec if isinstance(spec, str) else json.dumps(spec),
            source=source,
            project=self.project,
            runner=runner,
            pipeline=pipeline,
            sample=str(sample),
            datums=list(datums),
            inputs=[full_name(ref, self.project) for ref in inputs],
            fileset=fileset,
            programs=list(programs),
            place=place,
            build=build if isinstance(build, str) else json.dumps(build),
        )
        return int(answer.get("run") or 0)

    def save_trial(self, trial: str) -> str:
        """The outputs of the last run, put together as a job would, as a fileset: read it as the
        commit ``__filesets__@ID``."""
        return str(self.call(BOX, "SaveTrial", trial=trial).get("fileset", ""))
