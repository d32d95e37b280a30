r"""A small DAG that stays alive: a clock, made-up readings of eight sensors, and what follows.

    tick -> readings -> stats --+-> report <- sensors
                    \-> alerts -/

It runs ``sh`` and ``awk`` of the box's machine: no image, no network, no further package. Old
ticks are squashed with all that came of them, so that it can be left alone.
"""

from __future__ import annotations

from pachybox.client.build_pipelines import Builds
from pachybox.client.metadata import Metadata
from pachybox.errors import AlreadyExists, NotFound

_OURS = "Demo: "  # what descriptions of its parts begin with, by which they are known again
_PARTS = ("report", "alerts", "stats", "readings")  # readers before what they read
_TICKS, _SENSORS = "tick", "sensors"
_KEPT = "last 200"  # ticks

_PLACES = b"""sensor,place,limit
s1,roof,26
s2,cellar,22
s3,kitchen,25
s4,garage,24
s5,attic,27
s6,garden,26
s7,stairs,23
s8,office,24
"""

SPEC = r"""# A clock makes readings, and what follows from them.
pipeline: {name: readings}
description: "Demo: eight sensors, read at every tick."
input:
  cron: {name: tick, repo: tick, spec: "@every 20s", overwrite: true, coalesce: true}
transform:
  cmd: [sh]
  stdin:
    - now=$(date +%s)
    - for s in 1 2 3 4 5 6 7 8; do
    - awk -v s=$s -v now=$now 'BEGIN { srand(now * 10 + s); print "time,celsius";
      for (i = 0; i < 60; i++) printf "%d,%.1f\n", now - 60 + i, 20 + s % 4 + 4 * rand() }'
      > /pfs/out/s$s.csv
    - done
    - echo "read 8 sensors, 60 values each"
---
pipeline: {name: stats}
description: "Demo: lowest, mean and highest of each sensor; a datum each."
input:
  pfs: {repo: readings, glob: "/*"}
transform:
  cmd: [sh]
  stdin:
    - for f in /pfs/readings/*.csv; do
    - sleep 1
    - awk -F, 'NR == 2 { low = high = $2 } NR > 1 { sum += $2; n++; if ($2 < low) low = $2;
      if ($2 > high) high = $2 } END { printf "%.1f,%.2f,%.1f\n", low, sum / n, high }'
      "$f" > "/pfs/out/$(basename "$f")"
    - echo "$(basename "$f") is done"
    - done
---
pipeline: {name: alerts}
description: "Demo: the values of each sensor above 26 degrees."
input:
  pfs: {repo: readings, glob: "/*"}
transform:
  cmd: [sh]
  stdin:
    - for f in /pfs/readings/*.csv; do
    - sleep 0.5
    - awk -F, 'NR > 1 && $2 > 26' "$f" > "/pfs/out/$(basename "$f")"
    - echo "WARN $(wc -l < "/pfs/out/$(basename "$f")") values of $(basename "$f" .csv) are high"
    - done
---
pipeline: {name: report}
description: "Demo: one page of it all."
input:
  cross:
    - pfs: {repo: stats, glob: /}
    - pfs: {repo: alerts, glob: /}
    - pfs: {repo: sensors, glob: /}
transform:
  cmd: [sh]
  stdin:
    - cd /pfs
    - '{ echo "| sensor | place | low | mean | high | alerts |"; echo "|---|---|---|---|---|---|"'
    - tail -n +2 sensors/places.csv | while IFS=, read -r s place limit; do
    - 'echo "| $s | $place | $(tr , "|" < stats/$s.csv) | $(wc -l < alerts/$s.csv) |"; done'
    - '} > out/report.md'
"""


class Demo(Builds, Metadata):
    """Methods on the demo."""

    def create_demo(self) -> list[str]:
        """Make the demo, or make it anew where it is there; the names of its pipelines.

        Its first tick is made at once. Raises AlreadyExists, having done nothing, when a repo or
        a pipeline of one of its names is not the demo's.
        """
        self._check_names()
        self.create_repo(_SENSORS, f"{_OURS}where the sensors are", update=True)
        self.put_file(f"{_SENSORS}@master:/places.csv", _PLACES)
        made, _ = self.create_pipelines(SPEC, source="demo", update=True)
        self.edit_metadata("branch", f"{_TICKS}@master", edit={"retention": _KEPT})
        self.run_cron("readings")
        return [pipeline.name for pipeline in made]

    def delete_demo(self) -> list[str]:
        """Remove the demo with its data; what was removed, [] when it was not there."""
        gone = []
        for name in _PARTS:
            if self._pipeline_is_ours(name):
                self.delete_pipeline(name)
                gone.append(name)
        for name, ours in ((_SENSORS, self._repo_is_ours()), (_TICKS, "readings" in gone)):
            if ours and self.delete_repo(name):
                gone.append(name)
        return gone

    def _check_names(self) -> None:
        there = {repo.name: repo for repo in self.list_repo()}
        for name in _PARTS:
            if name in there and not self._pipeline_is_ours(name):
                raise _taken(name)
        if _SENSORS in there and not self._repo_is_ours():
            raise _taken(_SENSORS)
        if _TICKS in there and not self._pipeline_is_ours("readings"):
            raise _taken(_TICKS)

    def _pipeline_is_ours(self, name: str) -> bool:
        try:
            return self.inspect_pipeline(name).description.startswith(_OURS)
        except NotFound:
            return False

    def _repo_is_ours(self) -> bool:
        try:
            return self.inspect_repo(_SENSORS).description.startswith(_OURS)
        except NotFound:
            return False


def _taken(name: str) -> AlreadyExists:
    return AlreadyExists(
        f"there is a repo {name} already, and it is not the demo's",
        "make the demo in a project of its own: pachybox demo --project NAME",
    )
