"""Lay all drawings on one sheet: /pfs/edges/*.png -> /pfs/out/montage.png.

The pipeline's glob is "/", so there is one datum and this script sees every drawing at once.
"""

import os
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

# /pfs, except on machines where pachybox may not mount anything there.
PFS = Path(os.environ.get("PFS", "/pfs"))
COLUMNS, CELL, GAP, TITLE = 3, (320, 240), 16, 18
PAPER, INK = "#f4f1ea", "#2b3a55"


def sheet(drawings: list[Path]) -> Image.Image:
    """Rows of drawings in one ink, each under its name."""
    width, height = CELL[0] + GAP, CELL[1] + TITLE + GAP
    rows = -(-len(drawings) // COLUMNS)
    page = Image.new("RGB", (COLUMNS * width + GAP, rows * height + GAP), PAPER)
    draw = ImageDraw.Draw(page)
    for place, path in enumerate(drawings):
        x, y = GAP + place % COLUMNS * width, GAP + place // COLUMNS * height
        draw.text((x, y), path.stem.replace("_", " "), fill=INK)
        with Image.open(path) as drawing:
            fitted = ImageOps.fit(ImageOps.grayscale(drawing), CELL)
        page.paste(ImageOps.colorize(fitted, INK, PAPER), (x, y + TITLE))
    return page


found = sorted((PFS / "edges").rglob("*.png"))
sheet(found).save(PFS / "out" / "montage.png")
print(f"a montage of {len(found)} drawings")
