"""Images built from a directory, once for each content of it.

The tag of what is built is a hash of all that goes in: the files, the recipe, the arguments and
the images it starts from. So an image that is there under its tag is the one that a build would
make, and nothing is built.
"""

from __future__ import annotations

import itertools
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pachybox.containers.context import Context
from pachybox.containers.images import Image, ImageMissing, Images, Said
from pachybox.containers.names import ImageName, is_id, parse
from pachybox.errors import CHECK_FILE, InvalidArgument, Refused
from pachybox.model.units import format_size

if TYPE_CHECKING:
    from pachybox.containers.engine import Engine

LABEL = "org.pachybox.build"
"""The label of every image made here; its value is the tag."""

_SPOOL = 16 << 20  # a context beyond is packed into a temporary file
_LAST = 3  # so many lines of a step that failed are in the error
_SAYS_NOTHING_S = 3600.0  # so long a step of a build may be silent
# Docker's own form of images: it has SHELL and HEALTHCHECK, which OCI's has not. podman takes steps
# done before from its cache only when it is told a form.
_FORM = "application/vnd.docker.distribution.manifest.v2+json"
_USED = re.compile(r"(?:--|[=,])from=([^,]+)")  # in an option of COPY and RUN
_HEREDOC = re.compile(r"<<-?([\"']?)(\w+)\1(?=\s|$)")
_STEP = re.compile(r"(\[\d+/\d+\] )?STEP ")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::([-+])([^}]*))?\}|(\w+))")


class BuildFailed(Refused):
    """A build did not end well; what it said was passed on as it came."""


@dataclass(frozen=True, slots=True)
class Built:
    """An image and its name with the content's tag. ``fresh``: it was built just now."""

    name: ImageName
    image: Image
    fresh: bool


def build(
    engine: Engine, name: ImageName, context: Context, args: Mapping[str, str], said: Said
) -> Built:
    """The image of a context, under ``name`` with a tag of its own; built unless it is there.
    ``said`` is told line by line what goes on.

    Raises BuildFailed; ImageMissing when what it starts from cannot be had; InvalidArgument for
    what cannot be read; what Engine.client raises.
    """
    images = Images(engine)
    given = {start: _start(images, start, said).id for start in starts(context.text, args)}
    tag, files, size = content_tag(context, args, given)
    name = replace(name, tag=tag, digest="")
    try:
        return Built(name, images.find(str(name)), fresh=False)
    except ImageMissing:
        pass
    if other := images.labelled(LABEL, tag):  # the same by another name
        images.tag(other, name)
        return Built(name, images.find(str(name)), fresh=False)
    said(f"building {name} from {context.folder} ({files} files, {format_size(size)})")
    images.tag(_build(engine, images, name, context, args, said), name)
    return Built(name, images.find(str(name)), fresh=True)


def _start(images: Images, reference: str, said: Said) -> Image:
    try:
        return images.find(reference)
    except ImageMissing:
        if parse(reference).only_here:
            raise
        return images.pull(reference, progress=said)


def content_tag(
    context: Context, args: Mapping[str, str], starts_from: Mapping[str, str]
) -> tuple[str, int, int]:
    """(tag, files, bytes) of a context. ``starts_from`` are the ids of images by their names."""
    from blake3 import blake3

    hasher = blake3(b"pachybox build 1\0")
    hasher.update(json.dumps([sorted(args.items()), sorted(starts_from.items())]).encode())
    try:
        files, size = context.hash_into(hasher)
    except OSError as e:
        raise _unreadable(e) from None
    return hasher.hexdigest()[:16], files, size


def starts(text: str, args: Mapping[str, str]) -> list[str]:
    """The images that a recipe starts from or copies from, apart from its own stages. What its
    own arguments leave open is left out."""
    known: dict[str, str] = {}
    stages, found = {"scratch"}, []
    before_first = True
    for word, rest in _instructions(text):
        if word == "ARG" and before_first:
            key, _, default = rest.partition("=")
            known[key] = args.get(key, _expanded(default.strip("\"'"), known))
        elif word == "FROM":
            before_first = False
            words = [w for w in rest.split() if not w.startswith("--")]
            if not words:
                continue
            image = _expanded(words[0], known)
            if image.lower() not in stages:
                found.append(image)
            if len(words) == 3 and words[1].upper() == "AS":
                stages.add(words[2].lower())
        elif word in ("COPY", "RUN"):
            options = itertools.takewhile(lambda word: word.startswith("--"), rest.split())
            for image in (used[1] for option in options if (used := _USED.search(option))):
                if image.lower() not in stages and not image.isdecimal() and "$" not in image:
                    found.append(image)
    return list(dict.fromkeys(image for image in found if image))


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """(word, rest) of each instruction, without the texts that follow some (``<<EOF``)."""
    lines = (line.strip() for line in text.splitlines())
    whole = ""
    for line in lines:
        if not line or line.startswith("#"):
            continue
        whole += line.removesuffix("\\")
        if line.endswith("\\"):
            whole += " "
            continue
        word, _, rest = whole.strip().partition(" ")
        yield word.upper(), rest.strip()
        whole = ""
        if word.upper() in ("RUN", "COPY", "ADD"):
            for _, end in _HEREDOC.findall(rest):
                while next(lines, end) != end:
                    pass


def _expanded(text: str, known: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        name, how, word = found[1] or found[4], found[2], found[3] or ""
        have = known.get(name, "")
        if how == "+":
            return word if have else ""
        return have or word

    return _VARIABLE.sub(value, text)


def _build(
    engine: Engine,
    images: Images,
    name: ImageName,
    context: Context,
    args: Mapping[str, str],
    said: Said,
) -> str:
    """The id of the image. podman is not told the name: it gives it to a stage on the way, too,
    and to that alone when a later one fails."""
    limits = [f"{kind}={n}:{n}" for kind, n in engine.facts().ulimits.items()]
    params = {
        "dockerfile": context.recipe_path,
        "buildargs": json.dumps(dict(args)),
        "labels": json.dumps({LABEL: name.tag}),
        "ulimits": json.dumps(limits),
        "outputformat": _FORM,
        "layers": "true",
        "rm": "true",
        "forcerm": "true",
    }
    last: list[str] = []
    made = ""
    with tempfile.SpooledTemporaryFile(_SPOOL) as packed:
        try:
            context.pack(packed)
        except OSError as e:
            raise _unreadable(e) from None
        packed.seek(0)
        for line in images.build(packed, params, timeout=_SAYS_NOTHING_S):
            for words in str(line.get("stream") or "").splitlines():
                said(words)
                last = [] if _STEP.match(words) else [*last, words][-_LAST:]
                made = words if is_id(words) else made
            if error := line.get("error"):
                raise _failed(name, context, str(error), last)
    if not made:
        raise _failed(name, context, "podman does not say what it made", last)
    return made


def _failed(name: ImageName, context: Context, error: str, last: Sequence[str]) -> BuildFailed:
    what = " ".join(error.split())
    said = [words for words in last if words.strip() and "level=error" not in words]
    if said:
        what = f"{what}; its last words: {' / '.join(said)}"
    return BuildFailed(f"image {name.whole} was not built from {context.recipe}: {what}")


def _unreadable(error: OSError) -> InvalidArgument:
    return InvalidArgument(f"cannot read {error.filename}: {error.strerror}", CHECK_FILE)
