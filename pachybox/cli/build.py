"""``--build`` and ``--push-images`` of create and update pipeline.

The specs come out as they went in, but for ``transform.image``, which names what was built or
pushed; the files on disk stay as they are.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pachybox.cli.app import App
from pachybox.cli.command import Args, Parser, flag, many
from pachybox.cli.documents import documents
from pachybox.cli.output import note
from pachybox.cli.spec_source import SpecText
from pachybox.errors import InvalidArgument

if TYPE_CHECKING:
    from pachybox.containers.context import Context
    from pachybox.containers.credentials import Credential
    from pachybox.containers.engine import Engine
    from pachybox.containers.images import Images
    from pachybox.containers.names import ImageName

PASSWORD = "PACHYBOX_REGISTRY_PASSWORD"
"""The variable in which the password of --username may be."""


def arguments(parser: Parser) -> None:
    """The flags."""
    flag(
        parser, "-b", "--build",
        help="build the image from transform.dockerfile (default: the Containerfile or Dockerfile "
        "beside the spec), unless it was built of the same content",
    )  # fmt: skip
    many(parser, "--build-arg", metavar="KEY=VALUE", help="an ARG of the Dockerfile, with --build")
    flag(parser, "-p", "--push-images", help="push the image to its registry, by its content")
    parser.add_argument(
        "-r", "--registry", metavar="HOST[/PATH]",
        help="where --push-images pushes to (default: what the image's name says)",
    )  # fmt: skip
    parser.add_argument(
        "-u", "--username", metavar="NAME",
        help="log in to the registry by this name; the password is asked for, or is in "
        f"${PASSWORD}, or is a line on stdin (default: as podman login left it)",
    )  # fmt: skip


def asked(args: Args) -> bool:
    """Whether there is anything to build or push. Raises InvalidArgument for flags that go with
    others which were not given."""
    build, push = getattr(args, "build", False), getattr(args, "push_images", False)
    if getattr(args, "build_arg", None) and not build:
        raise InvalidArgument("--build-arg goes with --build", "add --build")
    for name in ("registry", "username"):
        if getattr(args, name, None) and not push:
            raise InvalidArgument(f"--{name} goes with --push-images", "add --push-images")
    if (build or push) and getattr(args, "dry_run", False):
        raise InvalidArgument("--dry-run builds and pushes nothing", "leave one of them out")
    return bool(build or push)


def built(app: App, args: Args, given: SpecText) -> SpecText:
    """A text with the images that were built and pushed as the flags ask; see Plan."""
    if not asked(args):
        return given
    plan = Plan(args, [given])
    plan.make()
    return plan.texts()[0]


@dataclass(frozen=True, slots=True)
class _Image:
    """The image of one spec: what it is called but for its tag, what it is built from."""

    transform: dict[str, Any]
    name: ImageName
    context: Context | None


class Plan:
    """What the flags ask for of some texts."""

    def __init__(self, args: Args, given: Sequence[SpecText]) -> None:
        """Raises InvalidArgument for a spec that has nothing to build from, or to push to."""
        self._args = args
        self._given = given
        self._documents = [documents(one.text) for one in given]
        self._images: list[_Image] = []
        self._stdin = any(one.source == "stdin" for one in given)
        self._logins: dict[str, list[Credential]] = {}
        for one, found in zip(given, self._documents, strict=True):
            for document in found or ():  # None: the box says why it cannot be read
                self._read(document, one)
        if not (args.build or self._images or None in self._documents):
            raise InvalidArgument(
                "no spec names an image to push", "name one in transform.image, or add --build"
            )

    def _read(self, document: Any, given: SpecText) -> None:
        transform = document.get("transform") if isinstance(document, dict) else None
        if not isinstance(transform, dict):
            return
        pipeline, image = document.get("pipeline"), str(transform.get("image") or "")
        own = str(pipeline.get("name") or "") if isinstance(pipeline, dict) else ""
        if self._args.build:
            context = _context(transform, given)
        elif image:
            context = None
        else:
            return
        name = _name(own, image, self._args)
        self._images.append(_Image(transform, name, context))
        transform["image"] = image or str(name)

    def texts(self) -> list[SpecText]:
        """The texts; before ``make`` to be checked, after it to be used."""
        return [
            one if found is None else replace(one, text=json.dumps(found, ensure_ascii=False))
            for one, found in zip(self._given, self._documents, strict=True)
        ]

    def make(self, say: Callable[[str], None] | None = None) -> None:
        """Build and push, and name in the specs what was made; ``say`` gets each line of that as it
        comes, stderr without it. Raises what these raise."""
        say = say or _say
        from pachybox.containers.images import Images

        if self._args.push_images:  # who has no password says so before minutes of building
            for one in self._images:
                self._login(one.name)
        with _engine() as engine:
            images, pushed = Images(engine), set()
            for one in self._images:
                name = self._built(engine, images, one, say)
                if self._args.push_images and name not in pushed:
                    note(f"pushing {name}")
                    images.push(name, self._login(name), say)
                    pushed.add(name)
                one.transform["image"] = str(name)

    def _built(
        self, engine: Engine, images: Images, one: _Image, say: Callable[[str], None]
    ) -> ImageName:
        if one.context is None:
            image = one.transform["image"]
            found = images.find(image)
            name = replace(one.name, tag=found.id.partition(":")[2][:16], digest="")
            images.tag(image, name)
            return name
        from pachybox.containers.build import build

        made = build(engine, one.name, one.context, _pairs(self._args.build_arg), say)
        if not made.fresh:
            note(f"image {made.name} is up to date")
        return made.name

    def _login(self, name: ImageName) -> list[Credential]:
        """The login that --username means; none without it: the user's files are asked anyway."""
        user = self._args.username
        if user and name.registry not in self._logins:
            from pachybox.containers.credentials import Credential, of_files

            kept = [one for one in of_files(name) if one.username == user]
            self._logins[name.registry] = kept or [
                Credential(name.registry, user, self._password(user, name.registry))
            ]
        return self._logins.get(name.registry, [])

    def _password(self, user: str, registry: str) -> str:
        if found := os.environ.get(PASSWORD):
            return found
        if sys.stdin.isatty():
            from getpass import getpass

            return getpass(f"password of {user} at {registry}: ")
        found = "" if self._stdin else sys.stdin.readline().rstrip("\n")
        if not found:
            raise InvalidArgument(
                f"there is no password of {user} at {registry}",
                f"set {PASSWORD}, give it on stdin, or run: podman login {registry}",
            )
        return found


def _name(pipeline: str, image: str, args: Args) -> ImageName:
    """What the image of a pipeline is called. Without a registry in ``image`` it stays here,
    unless it is pushed."""
    from pachybox.containers.names import LOCAL, ImageName, is_id, parse

    own = re.sub(r"[^a-z0-9]+", "-", pipeline.lower()).strip("-") or "pipeline"
    name = ImageName(LOCAL, own, "", "") if not image or is_id(image) else parse(image)
    bare = name.repository.removeprefix("library/")
    if args.registry:
        if "://" in args.registry:
            raise InvalidArgument(
                f"--registry {args.registry!r} is not understood", "write HOST[:PORT][/PATH]"
            )
        return parse(f"{args.registry.rstrip('/')}/{bare}")
    if args.push_images and (name.only_here or name.repository != bare):
        raise InvalidArgument(
            f"the image of pipeline {pipeline} has no registry in its name",
            "say where to push it: --registry HOST[/PATH]",
        )
    said = image.removeprefix("docker://").startswith(f"{name.registry}/")
    if said or args.push_images:
        return name
    return replace(name, registry=LOCAL, repository=bare)


def _context(transform: dict[str, Any], given: SpecText) -> Context:
    """What ``dockerfile`` names, in its own directory unless ``build.path`` names another.
    ``build`` is taken out of ``transform``."""
    from pachybox.containers.context import Context

    if given.folder is None:
        raise InvalidArgument(
            f"{given.source} is not of this machine, and so has nothing beside it to build from",
            "fetch it together with its Dockerfile, and name the file",
        )
    build = transform.get("build")
    build = build if isinstance(build, dict) else {}
    if build.get("language") or build.get("image"):
        raise InvalidArgument(
            f"{given.source}: transform.build with a language or an image needs no --build",
            "leave --build out",
        )
    transform.pop("build", None)
    file = transform.get("dockerfile")
    recipe = given.folder / str(file) if file else None
    if recipe:  # without dots, and the directory of a link is its own
        recipe = recipe.parent.resolve() / recipe.name
    if build.get("path"):
        return Context.at((given.folder / str(build["path"])).resolve(), recipe)
    return Context.at(recipe.parent if recipe else given.folder, recipe)


def _pairs(given: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InvalidArgument(f"--build-arg {pair!r} is not understood", "write KEY=VALUE")
        found[key] = value
    return found


def _say(line: str) -> None:
    """What a build or push says, as it comes."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@contextmanager
def _engine() -> Iterator[Engine]:
    """podman: by the service of the box on this machine where there is one, which is quicker."""
    import tempfile

    from pachybox.config import default_home
    from pachybox.containers.engine import SOCKET, Engine, unusable

    with tempfile.TemporaryDirectory(prefix="pachybox-") as folder:
        engine = Engine(Path(folder))
        beside = default_home() / "run" / SOCKET
        if not os.environ.get("CONTAINER_HOST") and beside.is_socket():
            shared = Engine(Path(folder), f"unix://{beside}")
            engine = engine if unusable(shared) else shared
        try:
            yield engine
        finally:
            engine.close()
