"""``backup``: the whole box to a place elsewhere, again and again, and back."""

from __future__ import annotations

import getpass
import os
import sys
import time
from argparse import ArgumentTypeError
from contextlib import suppress
from pathlib import Path

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, records
from pachybox.cli.output import note, size
from pachybox.client.backup_values import BackupInfo
from pachybox.client.backups import Backups
from pachybox.client.values import Json
from pachybox.errors import InvalidArgument, PachyboxError, Unreachable

_PASSWORD = "PACHYBOX_BACKUP_PASSWORD"
_EVERY_S = 0.1
_QUIET_S = 0.5
_HEADER = ("ID", "MADE", "COMMITS", "PIPELINES", "BOX", "ADDED", "KEY")


class _Progress:
    """A line on standard error, where that is a terminal; a context manager that clears it."""

    def __init__(self) -> None:
        self._shown = time.monotonic() + _QUIET_S - _EVERY_S
        self._any = False

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._any:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if not sys.stderr.isatty() or now < self._shown + _EVERY_S:
            return
        self._shown, self._any = now, True
        text = stage
        if total >= done and total:
            share = done / total
            filled = int(share * 20)
            text += f"  [{'#' * filled}{'.' * (20 - filled)}] {share:4.0%}"
        if total > 1 << 20:
            text += f"  {size(done)} of {size(total)}"
        sys.stderr.write(f"\r{text}\033[K")
        sys.stderr.flush()


def _place(text: str | None) -> str:
    """A place as the box is told of it: paths are those of whoever asks."""
    if not text or "://" in text:
        return text or ""
    return str(Path(text).absolute())


def _create(app: App, args: Args) -> None:
    password = _passphrase(again=True) if args.with_key else ""
    with _Progress() as progress:
        made = app.box(Backups).create_backup(
            _place(args.to), passphrase=password, new=args.new, progress=progress
        )
    if args.raw or args.output:
        app.output.raw(made.raw)
        return
    app.output.line(made.id)
    note(f"backed up to {made.to}: {size(made.sent_bytes)} added")
    if made.secrets and not made.with_key:
        note(
            "the values of secrets can be restored with the box's secret.key alone, which is not "
            "in the backup: keep a copy of it, or add --with-key"
        )


def _passphrase(*, again: bool = False) -> str:
    """From the environment, or asked for on a terminal. Raises InvalidArgument."""
    if given := os.environ.get(_PASSWORD):
        return given
    if not sys.stdin.isatty():
        raise InvalidArgument("no passphrase is given", f"set {_PASSWORD}")
    first = getpass.getpass("Passphrase of the key: ")
    if again and getpass.getpass("Once more: ") != first:
        raise InvalidArgument("the two are not the same", "try again")
    return first


def _list(app: App, args: Args) -> int:
    place = _place(args.place)
    found = _found(app, place)
    out = app.output

    def row(one: BackupInfo) -> tuple[str, ...]:
        if one.problem:
            return ("damaged", one.problem, "", "", "", "", "")
        return (
            one.id,
            out.time(one.time),
            str(one.commits),
            str(one.pipelines),
            size(one.box_bytes),
            size(one.sent_bytes),
            "yes" if one.with_key else "no",
        )

    out.records(found, _HEADER, row)
    return int(any(one.problem for one in found))


def _found(app: App, place: str) -> list[BackupInfo]:
    """The backups by the box, or where none runs by looking."""
    try:
        return list(app.box(Backups).list_backup(place))
    except Unreachable:
        if not place:
            raise
    from appliance.backups import listed

    return [BackupInfo.from_json(one) for one in listed(place)]


def _verify(app: App, args: Args) -> int:
    place, share = _place(args.place), 1.0 if args.read_all else args.sample
    with _Progress() as progress:
        try:
            done = app.box(Backups).verify_backup(place, args.ids, share=share, progress=progress)
        except Unreachable:
            if not place:
                raise
            from appliance.backups import verified

            done = verified(place, args.ids, share, progress)
    problems = done.get("problems") or []
    if args.raw or args.output:
        app.output.raw(done)
    else:
        for problem in problems:
            app.output.line(problem)
    read, packs = int(done.get("packs") or 0), int(done.get("total") or 0)
    verdict = f"{len(problems)} problems" if problems else "all of it is good"
    note(
        f"looked at {int(done.get('done') or 0)} backups, read {read} of {packs} packs "
        f"({size(int(done.get('bytes') or 0))}): {verdict}"
    )
    return 1 if problems else 0


def _restore(app: App, args: Args) -> None:
    place = _place(args.place)
    if args.home:
        done = _into_new(app, args, place)
        where = f" into {args.home}; start it: pachybox up --home {args.home}"
    else:
        password = os.environ.get(_PASSWORD, "")
        with _Progress() as progress:
            done = app.box(Backups).restore_backup(
                args.id, place, passphrase=password, progress=progress
            )
        where = ""
    info = BackupInfo.from_json(done["backup"])
    if args.raw or args.output:
        app.output.raw(done)
    note(
        f"restored {info.repos} repos, {info.commits} commits, {info.pipelines} pipelines, "
        f"{info.jobs} jobs of {info.host}{where}"
    )
    if info.secrets and not done.get("hasKey"):
        note(
            f"{info.secrets} secrets cannot be opened: bring secret.key of the old box into the "
            "data directory, or make them again"
        )


def _into_new(app: App, args: Args, place: str) -> Json:
    from appliance.backups import restored

    if not place:
        raise InvalidArgument("no place of backups is named", "name it: --from PLACE")
    home = Path(args.home).absolute()
    password = os.environ.get(_PASSWORD, "")
    with suppress(PachyboxError):
        if not password and sys.stdin.isatty() and _has_key(place, args.id):
            password = _passphrase()
    with _Progress() as progress:
        return restored(home, place, args.id, password, progress)


def _has_key(place: str, id: str) -> bool:
    from appliance.backups import listed

    found = [BackupInfo.from_json(one) for one in listed(place)]
    chosen = found[-1:] if id == "latest" else [one for one in found if one.id.startswith(id)]
    return any(one.with_key for one in chosen)


def _prune(app: App, args: Args) -> int:
    with _Progress() as progress:
        done = app.box(Backups).prune_backup(
            args.keep, _place(args.place), dry_run=args.dry_run, progress=progress
        )
    kept, removed = (done.get(name) or [] for name in ("kept", "removed"))
    problems = done.get("problems") or []
    if args.raw or args.output:
        app.output.raw(done)
    else:
        for one in removed:
            app.output.line(str(one.get("id")))
        for problem in problems:
            app.output.line(problem)
    if args.dry_run:  # what that frees is known when it is done
        note(f"{len(removed)} backups would be removed, {len(kept)} kept")
    else:
        freed = size(int(done.get("bytes") or 0))
        note(f"{len(removed)} backups removed, {len(kept)} kept, {freed} freed")
    return 1 if problems else 0


def _share(text: str) -> float:
    """A type of arguments: ``5%``."""
    try:
        share = float(text.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ArgumentTypeError(f"{text!r} is no share of 0% to 100%")
    return share


def _from(parser: Parser) -> None:
    parser.add_argument(
        "--from", dest="place", metavar="PLACE", help="where they lie (default: backup_to)"
    )


def _creating(parser: Parser) -> None:
    parser.add_argument(
        "to", metavar="TO", nargs="?", help="a directory or s3://BUCKET/PREFIX (default: backup_to)"
    )
    flag(parser, "--with-key", help=f"the key of secrets too, sealed by ${_PASSWORD}")
    flag(parser, "--new", help="begin anew where there were backups before and are none now")
    records(parser, times=False)


def _listing(parser: Parser) -> None:
    parser.add_argument("place", metavar="PLACE", nargs="?", help="default: backup_to")
    records(parser)


def _verifying(parser: Parser) -> None:
    parser.add_argument("ids", metavar="ID", nargs="*", help="backups; default: all")
    _from(parser)
    flag(parser, "--read-all", help="read all content too")
    parser.add_argument(
        "--sample",
        type=_share,
        default=0.0,
        metavar="SHARE",
        help="read a part of it, by chance: 5%%",
    )
    records(parser, times=False)


def _restoring(parser: Parser) -> None:
    parser.add_argument(
        "id", metavar="ID", nargs="?", default="latest", help="its beginning will do; or latest"
    )
    _from(parser)
    parser.add_argument("--home", metavar="DIR", help="make a new data directory, without a box")
    records(parser, times=False)


def _pruning(parser: Parser) -> None:
    parser.add_argument(
        "--keep", default="", metavar="RULES", help="what is kept (default: backup_keep)"
    )
    _from(parser)
    flag(parser, "--dry-run", help="only say what would be removed")
    records(parser, times=False)


COMMANDS = {
    "backup create": Command(
        _creating,
        _create,
        ("backup create /mnt/disk/box", "backup create s3://backups/box", "backup create"),
        "The box goes on working: a backup is its state at one moment. Content that the place has\n"
        "already is not sent again.",
    ),
    "backup list": Command(_listing, _list, ("backup list", "backup list s3://backups/box --raw")),
    "backup verify": Command(
        _verifying,
        _verify,
        ("backup verify", "backup verify latest --read-all", "backup verify --sample 5%"),
        "All records and directories are read and proven, and content is looked up; it is read\n"
        "with --read-all or --sample. Exit status 1 when something is missing or damaged.",
    ),
    "backup restore": Command(
        _restoring,
        _restore,
        (
            "backup restore --from /mnt/disk/box --home /srv/box",
            "backup restore 20260104T --from s3://backups/box",
        ),
        "Without --home the box that runs is filled; it must be empty. It has all of the backup\n"
        "afterwards, or nothing. What was cut short goes on when it is run again.",
    ),
    "backup prune": Command(
        _pruning,
        _prune,
        ("backup prune --keep 'last 7, daily 30, monthly 12'", "backup prune --dry-run"),
        "Rules are last N, hourly N, daily N, weekly N, monthly N, yearly N (the newest backup of\n"
        "each of the last N that have one) and within 30d; what one of them wants is kept.",
    ),
}
