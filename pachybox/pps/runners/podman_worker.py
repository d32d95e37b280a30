"""A worker in a container, seen from the daemon: the worker of a process, and the container."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from pachybox.pps.runners.base import WorkerSpec
from pachybox.pps.runners.cgroups import ContainerGroup
from pachybox.pps.runners.podman_api import Api, Started
from pachybox.pps.runners.process_worker import ProcessWorker


class PodmanWorker(ProcessWorker):
    """See base.Worker. When its container dies, however that comes about, so does it."""

    def __init__(
        self,
        command: Sequence[str],
        spec: WorkerSpec,
        group: ContainerGroup,
        started: Started,
        api: Api,
    ) -> None:
        self.container = started
        self._pausable = group
        self._api = api
        self._uid = 0
        self._removing = threading.Lock()
        self._removed = False
        self._why = ""
        super().__init__(command, spec, group)

    @property
    def code_uid(self) -> int:
        """See AsksNext.code_uid: the container's users are the machine's, by number."""
        return self._uid

    def greet(self, seal: Mapping[str, Any]) -> None:
        """See ProcessWorker.greet; ``seal`` says who user code is."""
        self._uid = seal["container"]["uid"]
        super().greet(seal)

    def cancel(self) -> None:
        """See Worker.cancel; of a paused container too."""
        self._wake()
        super().cancel()

    def close(self) -> None:
        """See Worker.close: the container goes too."""
        with self._removing:
            if self._removed:
                return
            self._wake()
            super().close()
            if self._process.returncode:
                self._why = self._api.how_it_ended(self.container)
            self._api.remove(self.container.id)
            self._removed = True

    def _wake(self) -> None:
        """What is paused cannot be killed, and podman removes nothing that it takes for paused."""
        if self._pausable.paused():
            self._api.unpause(self.container.id)
            self._pausable.thaw()  # podman may be dead, or not know of it

    def _last_words(self) -> str:
        with self._removing:
            return self._why or super()._last_words()
