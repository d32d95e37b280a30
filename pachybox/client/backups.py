"""Backups: of the whole box, each of them little more than what changed."""

from __future__ import annotations

from collections.abc import Iterable

from pachybox.client.backup_values import BackupInfo
from pachybox.client.base import BOX, Base, Stream
from pachybox.client.errors import lost
from pachybox.client.progress import Stages
from pachybox.client.values import Json


class Backups(Base):
    """Methods on backups. ``to`` is a directory of the box's machine or s3://BUCKET/PREFIX; the
    box's setting ``backup_to`` when it is left out."""

    def create_backup(
        self,
        to: str = "",
        *,
        passphrase: str = "",
        new: bool = False,
        progress: Stages | None = None,
    ) -> BackupInfo:
        """Back the box up while it works. With a ``passphrase`` the key of its secrets goes along,
        sealed. ``new``: the place holds none of the backups it held before, and that is right."""
        end = self._end(
            "CreateBackup", progress, to=to, passphrase=passphrase or None, new=new or None
        )
        return BackupInfo.from_json(end["backup"])

    def list_backup(self, to: str = "") -> Stream[BackupInfo]:
        """The backups there are, the oldest first."""
        return self.stream(BOX, "ListBackup", to=to).map(BackupInfo.from_json)

    def verify_backup(
        self,
        to: str = "",
        ids: Iterable[str] = (),
        *,
        share: float = 0.0,
        progress: Stages | None = None,
    ) -> Json:
        """Prove that backups (none named: all) can be restored, by reading their records and
        directories, and ``share`` (0 to 1) of the packs of content: problems (a line each), bytes,
        packs."""
        return self._end("VerifyBackup", progress, to=to, ids=list(ids), share=share)

    def restore_backup(
        self,
        id: str = "latest",
        to: str = "",
        *,
        passphrase: str = "",
        progress: Stages | None = None,
    ) -> Json:
        """Fill the empty box from a backup, all or nothing: backup, hasKey (of its secrets)."""
        return self._end("RestoreBackup", progress, to=to, id=id, passphrase=passphrase or None)

    def prune_backup(
        self, keep: str = "", to: str = "", *, dry_run: bool = False, progress: Stages | None = None
    ) -> Json:
        """Take away the backups that ``keep`` ("last 7, daily 30") does not want, and the content
        that only they needed: kept, removed, packs, bytes."""
        return self._end("PruneBackup", progress, to=to, keep=keep, dry_run=dry_run or None)

    def _end(self, method: str, progress: Stages | None, **fields: object) -> Json:
        with self.stream(BOX, method, **fields) as stream:
            for one in stream:
                if one.get("end"):
                    return one
                if progress:
                    done, total = int(one.get("done") or 0), int(one.get("total") or 0)
                    progress(str(one.get("stage", "")), done, total)
        raise lost(self.address, method)
