"""Lay all photographs over their edges on one sheet: /pfs/out/montage.png.

The input is a cross of both repos with the glob "/", so there is one datum that holds everything:
when anything changes, the sheet is made anew.
"""

import os
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

# /pfs, except on machines where pachybox may not mount anything there.
PFS = Path(os.environ.get("PFS", "/pfs"))
CELL, GAP, TITLE = (220, 165), 12, 18
PAPER, INK = "#f4f1ea", "#3a3a3a"


def sheet(pairs: list[tuple[Path, Path]]) -> Image.Image:
    """One column a photograph: its name, itself, its edges."""
    width, height = CELL
    page = Image.new(
        "RGB", (len(pairs) * (width + GAP) + GAP, 2 * (height + GAP) + TITLE + GAP), PAPER
    )
    draw = ImageDraw.Draw(page)
    for column, pair in enumerate(pairs):
        x, y = GAP + column * (width + GAP), GAP + TITLE
        draw.text((x, GAP), pair[0].stem.replace("_", " "), fill=INK)
        for path in pair:
            with Image.open(path) as picture:
                page.paste(ImageOps.fit(picture.convert("RGB"), CELL), (x, y))
            y += height + GAP
    return page


drawn = {path.stem: path for path in (PFS / "edges").rglob("*.png")}
photos = sorted(
    path for path in (PFS / "images").rglob("*") if path.is_file() and path.stem in drawn
)
sheet([(photo, drawn[photo.stem]) for photo in photos]).save(PFS / "out" / "montage.png")
print(f"a montage of {len(photos)} photographs")
