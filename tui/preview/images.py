"""Images as half-blocks: two pixels a cell. Pillow is imported when the first one is shown."""

from __future__ import annotations

import asyncio
import io
import warnings
from typing import TYPE_CHECKING

from tui.preview.source import Limits, Source
from tui.preview.values import Colour, Pixels, Preview

if TYPE_CHECKING:
    from PIL import Image

# Formats whose decoders are in the library itself: none starts another program.
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "ICO", "PPM")
MOST = 200_000_000  # pixels: beyond this a file is a bomb, whatever the user says
_TABS = ("preview", "hex")
_GROUND = (32, 32, 32)  # behind what is transparent


class TooBig(ValueError):
    """An image that would take more time or memory than a preview may."""


async def show_image(source: Source, width: int, height: int) -> Preview:
    """The image, shrunk into ``width`` x ``height`` cells."""
    data = await source.head(source.limits.bytes)
    whole = not source.bytes_left_out
    return await asyncio.to_thread(_made, data, whole, (width, height), source.limits)


def _made(data: bytes, whole: bool, cells: tuple[int, int], limits: Limits) -> Preview:
    from PIL import Image, ImageFile

    # What is there of a file that is cut is shown. A setting of the library: nothing but this
    # module uses it in this process.
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on odd metadata, and on size, which is looked at here
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            size, facts = image.size, _facts(image)
            try:
                lines = _lines(image, cells, limits.pixels)
            except TooBig as e:
                hopeless = size[0] * size[1] > MOST
                return Preview("image", Pixels(()), facts, (str(e),), not hopeless, _TABS)
    notes = () if whole else ("cut: only what was read is shown",)
    return Preview("image", Pixels(lines), facts, notes, not whole, _TABS)


def _facts(image: Image.Image) -> tuple[str, ...]:
    facts = [str(image.format), f"{image.width:,} x {image.height:,}", str(image.mode)]
    frames = getattr(image, "n_frames", 1) if image.format in ("GIF", "WEBP") else 1
    if frames > 1:
        facts.append(f"{frames} frames")
    return tuple(facts)


def _lines(
    image: Image.Image, cells: tuple[int, int], most: int
) -> list[list[tuple[Colour, Colour]]]:
    from PIL import Image

    pixels = image.width * image.height
    # perf: libjpeg shrinks while it decodes: a third of the time
    work = pixels // 3 if image.format == "JPEG" else pixels
    if pixels > MOST or work > most:
        raise TooBig(f"{pixels / 1e6:,.0f} million pixels: too many to show at once")
    width, height = fit(image.size, cells)
    image.draft("RGB", (width, height))
    small = image
    if not image.mode.startswith(("RGB", "L")) or image.mode == "LA":
        small = _plain(image)
    small = small.resize((width, height), Image.Resampling.BOX, reducing_gap=2.0)
    if small.mode == "RGBA":
        ground = Image.new("RGBA", small.size, (*_GROUND, 255))
        small = Image.alpha_composite(ground, small)
    data = small.convert("RGB").tobytes()
    rows = [
        [(data[at], data[at + 1], data[at + 2]) for at in range(start, start + width * 3, 3)]
        for start in range(0, len(data), width * 3)
    ]
    if len(rows) % 2:
        rows.append([_GROUND] * width)
    return [list(zip(rows[n], rows[n + 1], strict=True)) for n in range(0, len(rows), 2)]


def _plain(image: Image.Image) -> Image.Image:
    """The image in eight bits a colour."""
    if image.mode.startswith(("I", "F")):  # 16 or 32 bits: its own range becomes grey
        wide = image.convert("F")
        least, most = wide.getextrema()
        assert isinstance(least, float)
        assert isinstance(most, float)
        scale = 255 / (most - least) if most > least else 0.0
        return wide.point(lambda value: value * scale - least * scale).convert("L")
    alpha = image.mode in ("LA", "PA") or "transparency" in image.info
    return image.convert("RGBA" if alpha else "RGB")


def fit(size: tuple[int, int], cells: tuple[int, int]) -> tuple[int, int]:
    """Pixels that keep the shape of ``size`` in ``cells``, two a cell; never larger than it is."""
    width, height = max(size[0], 1), max(size[1], 1)
    most_wide, most_high = max(cells[0], 1), max(cells[1], 1) * 2
    scale = min(most_wide / width, most_high / height, 1.0)
    return max(round(width * scale), 1), max(round(height * scale), 1)
