"""Draw the edges of each photograph of this datum: /pfs/images/NAME -> /pfs/out/NAME.png.

The pipeline's glob is "/*", so a datum is one photograph and a run of this script sees one.
"""

import os
from pathlib import Path

from PIL import Image, ImageChops, ImageFilter, ImageOps

# /pfs, except on machines where pachybox may not mount anything there.
PFS = Path(os.environ.get("PFS", "/pfs"))
LONGEST_SIDE = 640
AXES = ((-1, 0, 1, -2, 0, 2, -1, 0, 1), (-1, -2, -1, 0, 0, 0, 1, 2, 1))


def edges(photo: Image.Image) -> Image.Image:
    """Black lines on white where the brightness changes most (Sobel's two filters)."""
    grey = ImageOps.grayscale(photo)
    grey.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    grey = grey.filter(ImageFilter.GaussianBlur(1.2))
    strength = Image.new("L", grey.size)
    for axis in AXES:
        # A kernel's negative results are cut off at 0, so each direction is taken both ways.
        for kernel in (axis, tuple(-k for k in axis)):
            part = grey.filter(ImageFilter.Kernel((3, 3), kernel, scale=2))
            strength = ImageChops.lighter(strength, part)
    # The filters leave the outermost pixels as they were, which would be drawn as a frame.
    strength = ImageOps.expand(ImageOps.crop(strength, 2), 2, 0)
    return ImageOps.invert(ImageOps.autocontrast(strength, cutoff=(0, 1)))


for path in sorted((PFS / "images").rglob("*")):
    if path.is_file():
        with Image.open(path) as photo:
            edges(photo).save(PFS / "out" / f"{path.stem}.png")
        print(f"drew the edges of {path.name}")
