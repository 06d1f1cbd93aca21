"""Draws the extension's icon and the thumbnail of the sample data: ``python Resources/make_icons.py`` (needs focusnet and matplotlib).

The icon: a head and neck from the front with its organs at risk in the organ table's colours, in the brackets of a viewfinder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "FocusNetSegmentation"))

from focusnet.image.organs import find_organ  # noqa: E402
from focusnet.phantom.write import phantom  # noqa: E402

SIZE, SCALE = 128, 8  # drawn large and made small: smooth edges
NIGHT, BODY, BONE, FRAME = (24, 33, 48), (94, 108, 128), (150, 163, 180), (240, 244, 248)
THUMBNAIL = (260, 280)  # what Slicer's Sample Data module asks for


def color(organ: str) -> tuple[int, int, int]:
    found = find_organ(organ)
    assert found is not None
    return found.color_rgb


def icon() -> Image.Image:
    large = Image.new("RGBA", (SIZE * SCALE, SIZE * SCALE), (0, 0, 0, 0))
    draw = ImageDraw.Draw(large)

    def at(*values: float) -> list[float]:
        return [v * SCALE for v in values]

    draw.rounded_rectangle(at(2, 2, 126, 126), radius=24 * SCALE, fill=NIGHT)
    head = Image.new("L", large.size, 0)
    shape = ImageDraw.Draw(head)
    shape.ellipse(at(34, 12, 94, 84), fill=255)  # skull
    shape.ellipse(at(41, 42, 87, 99), fill=255)  # jaw
    shape.polygon(at(49, 84, 79, 84, 81, 110, 47, 110), fill=255)  # neck
    shape.ellipse(at(18, 104, 110, 150), fill=255)  # shoulders
    shape.rectangle(at(0, 118, 128, 128), fill=0)
    head = head.filter(ImageFilter.GaussianBlur(1.2 * SCALE)).point(lambda v: 255 if v > 127 else 0)
    large.paste(Image.new("RGBA", large.size, BODY), mask=head)
    draw.ellipse(at(41, 19, 87, 66), fill=BONE)  # inside the skull
    draw.ellipse(at(43, 21, 85, 64), fill=BODY)
    for x in (51, 77):  # eyes
        draw.ellipse(at(x - 6, 50, x + 6, 62), fill=color("Eye_L"))
    for x in (41.5, 86.5):  # parotids
        draw.ellipse(at(x - 5.5, 63, x + 5.5, 85), fill=color("Parotid_L"))
    draw.arc(at(47, 55, 81, 97), 12, 168, fill=color("Bone_Mandible"), width=int(6.5 * SCALE))
    draw.rounded_rectangle(at(59, 60, 69, 78), radius=5 * SCALE, fill=color("Brainstem"))
    draw.rounded_rectangle(at(61, 78, 67, 118), radius=3 * SCALE, fill=color("SpinalCord"))
    for x, y, dx, dy in ((13, 13, 1, 1), (115, 13, -1, 1), (13, 115, 1, -1), (115, 115, -1, -1)):
        draw.line(at(x + 18 * dx, y, x, y, x, y + 18 * dy), fill=FRAME, width=int(4.5 * SCALE), joint="curve")
    return large.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def thumbnail() -> Image.Image:
    """A coronal slice of the phantom with its reference contours: synthetic, as the sample data is."""
    volume, reference = phantom(seed=0, spacing_mm_xyz=(1.0, 1.0, 1.0))
    middle = int(np.argwhere(reference.mask("Brainstem"))[:, 1].mean())
    gray = np.clip((volume.array[:, middle] + 160.0) / 400.0, 0, 1) * 255
    picture = np.repeat(gray[::-1, :, None], 3, axis=2)
    for result in reference.results:
        mask = reference.labels[::-1, middle] == result.label
        picture[mask] = 0.35 * picture[mask] + 0.65 * np.array(result.organ.color_rgb)
    image = Image.fromarray(picture.astype(np.uint8))
    width, height = THUMBNAIL
    factor = max(width / image.width, height / image.height)
    image = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)
    left = (image.width - width) // 2
    return image.crop((left, 0, left + width, height))


if __name__ == "__main__":
    icons = ROOT / "FocusNetSegmentation" / "Resources" / "Icons"
    icons.mkdir(parents=True, exist_ok=True)
    picture = icon()
    picture.save(ROOT / "FocusNetSegmentation.png", optimize=True)
    picture.save(icons / "FocusNetSegmentation.png", optimize=True)
    thumbnail().save(icons / "FocusNetPhantom.png", optimize=True)
