"""``k3s install``, ``import``, ``status``, ``uninstall``: Kubernetes beside the box, offline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, many, records, seconds
from pachybox.cli.output import note
from pachybox.cli.steps import told
from pachybox.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from k3s.bundle import Bundle
    from k3s.checks import Finding
    from k3s.config import Choices
    from k3s.install import Plan
    from k3s.places import Places
    from k3s.status import Status
    from pachybox.placing import Step

_WAIT_S = 300.0
_RESTART = "systemctl restart pachybox"
_NO_SYSTEMD = "k3s is started by systemd here; --no-start only puts the files in place"


def _install(app: App, args: Args) -> None:
    from k3s import boxes, install, record
    from k3s.places import Places
    from pachybox.placing import HERE, named_root
    from pachybox.systemd import Systemd

    _as_root()
    root = named_root(args.root)
    start = not args.no_start and root == HERE
    if start:
        Systemd().needed(_NO_SYSTEMD)
    with record.alone(Places(root)):
        wanted = install.plan(root, _bundle(args, root), _choices(args))
        # Settings that cannot be read are found before anything is written.
        before = wanted.before or record.Record()
        box = boxes.put(wanted.places, before, ended=before.done, act=False)
        _tell(install.findings(wanted, start=start))
        if args.dry_run:
            _previewed(app, wanted, box)
            return
        if not args.yes:
            if not app.output.form:
                _previewed(app, wanted, box)
            app.confirm("Install k3s so")
        changed = _placed(app, wanted)
        version = ""
        if start:
            version = _started(app, args, wanted, changed=changed)
        _settled(app, wanted, version, changed=changed)


def _previewed(app: App, wanted: Plan, box: Step) -> None:
    """Say what would be done."""
    from itertools import chain

    from k3s import install

    told(app, chain(install.install(wanted, _silent, act=False), [box]), dry=True)


def _placed(app: App, wanted: Plan) -> bool:
    """Put everything in place; whether k3s has to be started anew for it."""
    from k3s import install
    from pachybox.cli.progress import Bar

    total = sum(item.size for item in wanted.copies.values())
    with Bar("copying and checking", total=total) as bar:
        steps = told(app, install.install(wanted, bar), dry=False)
    finished = wanted.before is not None and wanted.before.done
    return not finished or any(step.state != "kept" for step in steps)


def _started(app: App, args: Args, wanted: Plan, *, changed: bool) -> str:
    from k3s import start
    from pachybox.cli.progress import Line

    with Line() as line:
        version = start.start(
            wanted.places, wanted.chosen.node, anew=changed, wait_s=args.timeout, say=line
        )
    if not app.output.form:
        app.output.line(f"k3s {version} runs, and its node is ready")
    return version


def _settled(app: App, wanted: Plan, version: str, *, changed: bool) -> None:
    """Note what was done, and have the box use it."""
    from k3s import boxes, install, record
    from pachybox.placing import remove

    places = wanted.places
    if version:
        made = install.finish(wanted, version)
    else:  # nobody will say whether the new program is good
        remove(places.on_disk(places.former))
        found = record.load(places)
        assert found is not None
        made = found
        made.done = not changed  # it answered with all this before
        if changed:
            note("once k3s runs, end this by: pachybox k3s install; the box reaches it only then")
    ended = wanted.before is not None and wanted.before.done
    step = boxes.put(places, made, ended=ended, act=True)
    record.save(places, made)
    told(app, [step], dry=False)
    if step.state == "absent":
        note("once there is a box, run this again (pachybox k3s install), so that it uses k3s")
        return
    home = Path(made.home)
    if (owner := places.on_disk(home).stat().st_uid) != 0:
        note(
            f"the box in {home} is user {owner}'s; to run datums in k3s it has to be root's: "
            "pachybox install --run-as root"
        )
    if step.state != "kept":
        note(f"a box that runs uses k3s when it is started again: {_RESTART}")


def _bundle(args: Args, root: Path) -> Bundle | None:
    """What --from has, every sum known where nothing will be copied, or no file says it."""
    if not args.source:
        return None
    from k3s import bundle
    from pachybox.cli.progress import Bar

    arch = bundle.architecture(root)
    found = bundle.look(Path(args.source), arch, unverified=args.unverified)
    if args.dry_run or not all(item.sum for item in found.items):
        with Bar("checking", total=sum(item.size for item in found.items)) as bar:
            found = found.verify(bar)
    return found


def _choices(args: Args) -> Choices:
    from k3s import config

    mirrors: dict[str, list[str]] = {}
    for text in args.registry:
        host, address = config.mirror(text)
        mirrors.setdefault(host, []).append(address)
    return config.Choices(
        config.node(args.node_name) if args.node_name else "",
        args.data_dir or "",
        tuple(args.extras),
        mirrors,
        dict(config.setting(text) for text in args.settings),
    )


def _tell(findings: Iterable[Finding]) -> None:
    """Say what is not as it should be; raise Refused when it would not run."""
    fatal = []
    for one in findings:
        if one.fatal:
            fatal.append(one)
        else:
            note(f"{one.what}; {one.remedy}")
    for one in fatal[1:]:
        note(f"{one.what}; {one.remedy}")
    if fatal:
        raise Refused(fatal[0].what, fatal[0].remedy)


def _import(app: App, args: Args) -> None:
    from k3s import images

    _as_root()
    for given in args.image:
        for name in images.bring(given):
            if app.output.form:
                app.output.raw({"given": given, "image": name})
            else:
                app.output.line(f"{given}: in k3s; a spec names it so: image: {name}")


def _status(app: App, args: Args) -> int:
    from k3s import status
    from pachybox.placing import named_root

    _as_root()
    found = status.look(named_root(args.root))
    shown = [("Installed", _installed(found)), ("Service", found.unit), ("Node", found.node)]
    if found.node:
        shown.append(("Images", str(len(found.images))))
        shown.append(("Pods of boxes", str(len(found.pods))))
    shown += [("Wrong", f"{what}\n{remedy}") for what, remedy in found.problems]
    app.output.fields(found, shown, aligned=True)
    if found.pods and not app.output.form:
        app.output.line()
        rows = [(p["name"], p["pipeline"], p["phase"].lower(), p["why"]) for p in found.pods]
        app.output.table(rows, ("POD", "PIPELINE", "STATE", "WHY"))
    return 1 if found.problems else 0


def _installed(found: Status) -> str:
    if found.installed == "pachybox":
        version = found.version or "a version not known before it has run"
        return f"{version}, from {found.source}, {found.time}"
    return f"{found.version}, not by pachybox".lstrip(", ") if found.installed else "no"


def _uninstall(app: App, args: Args) -> None:
    from k3s import boxes, record, uninstall
    from k3s.places import PROGRAM, UNIT, Places
    from pachybox.placing import named_root
    from pachybox.systemd import Systemd

    _as_root()
    root = named_root(args.root)
    with record.alone(Places(root)):
        there = record.load(Places(root))
        if there is None:
            _not_there(Places(root), PROGRAM, purge=args.purge)
            return
        places = uninstall.places_of(root, there)
        if args.purge:
            uninstall.check_purge(places)
        if not args.dry_run:
            more = f" and delete all its data in {places.data}" if args.purge else ""
            app.confirm(f"Stop k3s with all its Pods, remove it{more}")
        manager = Systemd()
        live = places.live and not args.dry_run and not manager.why_not()
        if live and manager.shown(UNIT, "LoadState") != "not-found":
            manager.stop(UNIT)
        if places.live and not args.dry_run:
            _end(app, places)
        steps = uninstall.uninstall(places, there, purge=args.purge, act=not args.dry_run)
        done = told(app, steps, dry=args.dry_run)
        if live:
            manager.forget(UNIT)
        if any(step.what == boxes.WHAT and step.state == "replaced" for step in done):
            note("a box that runs goes without k3s when it is started again: " + _RESTART)


def _end(app: App, places: Places) -> None:
    from k3s import leftovers

    if (done := leftovers.end_all(places)) and not app.output.form:
        app.output.line(f"ended: {', '.join(done)}")


def _not_there(places: Places, program: Path, *, purge: bool) -> None:
    if places.on_disk(program).exists():
        raise Refused(
            f"{program} was not installed by pachybox",
            "remove it as it was installed: k3s-uninstall.sh, where its own installer was used",
        )
    note("k3s is not installed")
    if purge and places.on_disk(places.data).exists():
        raise Refused(
            f"{places.data} is left from before, and nothing says that pachybox made it",
            f"look at it, then: rm -r {places.data}",
        )


def _silent(done: int, files: int) -> None:
    """No bar: nothing is copied."""


def _as_root() -> None:
    if os.geteuid() != 0:
        raise Refused("k3s is root's: its files, its keys, its service", "run it with sudo")


def _shared(parser: Parser) -> None:
    parser.add_argument(
        "--root", metavar="DIR", help="work on the system below DIR, and start nothing"
    )
    records(parser, times=False)


def _installing(parser: Parser) -> None:
    from k3s.config import EXTRAS

    parser.add_argument(
        "--from",
        dest="source",
        metavar="DIR",
        help="where k3s, its images and their checksums are (default: what is installed stays)",
    )
    flag(parser, "--dry-run", help="say what would be done, check every file, and do nothing")
    flag(parser, "-y", "--yes", help="do not show it first and ask")
    flag(parser, "--unverified", help="take files that no checksum file lists, too")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="KEY=VALUE",
        help="a setting of k3s (a flag of k3s server), VALUE as YAML; may be repeated",
    )  # fmt: skip
    many(
        parser, "--registry", metavar="HOST=MIRROR", help="an address asked in place of a registry"
    )
    parser.add_argument(
        "--with", dest="extras", action="append", default=[], choices=EXTRAS,
        help="a part of k3s that is left out else",
    )  # fmt: skip
    parser.add_argument("--node-name", metavar="NAME", help="the node's name (the machine's)")
    parser.add_argument(
        "--data-dir", metavar="DIR", help="where k3s keeps its data (/var/lib/rancher/k3s)"
    )
    flag(parser, "--no-start", help="do not start it now, only with the machine")
    parser.add_argument(
        "--timeout", type=seconds, default=_WAIT_S, metavar="TIME",
        help="how long to wait for the node (default 5m)",
    )  # fmt: skip
    _shared(parser)


def _importing(parser: Parser) -> None:
    parser.add_argument(
        "image",
        nargs="+",
        metavar="IMAGE|FILE",
        help="an image of podman, or an archive as podman save makes them",
    )
    records(parser, times=False)


def _uninstalling(parser: Parser) -> None:
    flag(parser, "--purge", help="delete its data too: images, volumes, what is in the cluster")
    flag(parser, "--dry-run", help="say what would be done, and do nothing")
    flag(parser, "-y", "--yes", help="do not ask")
    _shared(parser)


COMMANDS = {
    "k3s install": Command(
        _installing,
        _install,
        (
            "k3s install --from /media/stick",
            "k3s install --from /media/stick --dry-run",
            "k3s install --from DIR --yes --node-name lab --data-dir /mnt/disk/k3s",
            "k3s install --registry docker.io=http://localhost:5000",
            "k3s install --set cluster-cidr=10.50.0.0/16 --with traefik",
        ),
        "The directory has the files of a release of k3s: the program, its images and the\n"
        "checksums; other archives of images are taken too. Nothing is downloaded, nothing of\n"
        "another k3s is written over. Run again it changes what differs, ends what was cut short,\n"
        "or installs another version: the former one comes back when that does not answer.\n"
        "See docs/k3s.md.",
    ),
    "k3s import": Command(
        _importing,
        _import,
        ("k3s import localhost/edges:1.0", "k3s import /media/stick/images.tar.zst"),
        "They stay when the kubelet makes room. Prints the names that specs have to use.",
    ),
    "k3s status": Command(
        _shared,
        _status,
        ("k3s status", "k3s status --raw"),
        "Exits with 1 when something is wrong.",
    ),
    "k3s uninstall": Command(
        _uninstalling,
        _uninstall,
        ("k3s uninstall", "k3s uninstall --purge --yes", "k3s uninstall --dry-run"),
        "Stops k3s, ends its Pods, and removes what install wrote where it still is that. What\n"
        "others wrote into its settings stays, and so does its data unless --purge is given.",
    ),
}
