"""Writes test/fixtures/resize.json: what Pillow makes of small pictures, for test/backend/picture/resample.test.ts and picture.test.ts.

Run from the repository root: python reference/resize.py. Needs Pillow 13 and numpy. The raw pictures come from
a formula that the test repeats, so only Pillow's answers are stored; JPEG files are stored as well.
"""

import base64
import io
import json
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

OUT = Path("test/fixtures/resize.json")
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# from (width, height) to (width, height): shrink, enlarge, both, one axis only, very tall (vertical pass first), very wide
SIZES = [
    ((37, 29), (12, 12)),
    ((5, 7), (12, 12)),
    ((40, 6), (12, 12)),
    ((12, 31), (12, 12)),
    ((31, 12), (12, 12)),
    ((13, 90), (12, 12)),
    ((90, 13), (12, 12)),
    ((24, 24), (13, 11)),
]


def noise(width: int, height: int) -> np.ndarray:
    """uint8 [height, width, 3] from x = 1664525 x + 1013904223 mod 2^32: seed width * 1000 + height, top bytes."""
    state = width * 1000 + height
    values = []
    for _ in range(width * height * 3):
        state = (1664525 * state + 1013904223) % 2**32
        values.append(state >> 24)
    return np.array(values, np.uint8).reshape(height, width, 3)


def smooth(width: int, height: int) -> np.ndarray:
    """uint8 [height, width, 3]: a soft scene like a photograph, so that JPEG preserves it."""
    y, x = np.mgrid[0:height, 0:width]
    red = 128 + 100 * np.sin(x / 9)
    green = 128 + 100 * np.cos(y / 7 + x / 31)
    blue = 255 * x / width
    return np.clip(np.stack([red, green, blue], -1).round(), 0, 255).astype(np.uint8)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def resized(image: Image.Image, size: tuple[int, int], name: str) -> str:
    return b64(np.asarray(image.convert("RGB").resize(size, FILTERS[name])).tobytes())


def main() -> None:
    raw = [
        {"from": source, "to": target, "filter": name, "rgb": resized(Image.fromarray(noise(*source)), target, name)}
        for source, target in SIZES
        for name in FILTERS
    ]
    files = []
    for name, mode, options in [
        ("4:2:0", "RGB", {"quality": 85, "subsampling": 2}),
        ("4:4:4", "RGB", {"quality": 85, "subsampling": 0}),
        ("progressive", "RGB", {"quality": 85, "subsampling": 2, "progressive": True}),
        ("grey", "L", {"quality": 85}),
    ]:
        buffer = io.BytesIO()
        Image.fromarray(smooth(61, 43)).convert(mode).save(buffer, "JPEG", **options)
        image = Image.open(io.BytesIO(buffer.getvalue()))
        files.append({"name": name, "file": b64(buffer.getvalue()), "to": 16, "rgb": resized(image, (16, 16), "bicubic")})
    OUT.parent.mkdir(parents=True, exist_ok=True)
    document = {"pillow": PIL.__version__, "raw": raw, "jpeg": files}
    OUT.write_text(json.dumps(document, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
