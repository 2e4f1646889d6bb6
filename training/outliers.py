"""Draws pictures that are no photographs, for the model to learn to be unsure of.

This is outlier exposure (Hendrycks et al. 2019, arXiv:1812.04606) for a captioner. In training these pictures get
captions of other pictures, drawn at random, so that no caption is likely when there is nothing to see. The kinds
are noise, plain colours, gradients, patterns, shapes, lines of text, charts, and photographs that are shuffled in
tiles or blurred past recognition.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIDE = 256
WORDS = "the of and price total report name date open file edit view help 2019 42 order item page see also note".split()


def colour(rng: np.random.Generator) -> tuple[int, int, int]:
    return tuple(int(v) for v in rng.integers(0, 256, 3))


def canvas(rng: np.random.Generator) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), (255, 255, 255) if rng.random() < 0.5 else colour(rng))


def noise(rng: np.random.Generator) -> Image.Image:
    """From white noise to clouds: random values on a grid from a few pixels up, enlarged."""
    side = int(2 ** rng.uniform(2, 8))
    channels = 3 if rng.random() < 0.7 else 1
    values = rng.normal(rng.uniform(60, 200), rng.uniform(20, 90), (side, side, channels)).clip(0, 255)
    picture = Image.fromarray(np.broadcast_to(values, (side, side, 3)).astype(np.uint8))
    return picture.resize((SIDE, SIDE), Image.NEAREST if rng.random() < 0.5 else Image.BICUBIC)


def gradient(rng: np.random.Generator) -> Image.Image:
    """A gradient from one colour to another, or one plain colour."""
    first = np.array(colour(rng))
    last = first if rng.random() < 0.3 else np.array(colour(rng))
    ramp = np.linspace(0, 1, SIDE)[:, None] if rng.random() < 0.5 else np.linspace(0, 1, SIDE)[None]
    ramp = np.broadcast_to(ramp, (SIDE, SIDE))[..., None]
    return Image.fromarray((first * (1 - ramp) + last * ramp).astype(np.uint8))


def pattern(rng: np.random.Generator) -> Image.Image:
    """Crossing waves in two colours: checks, stripes, moiré."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    first, second = rng.uniform(2, 40, 2) * rng.choice([-1, 1], 2)
    wave = np.sin(2 * np.pi * (first * x + (rng.random() < 0.5) * second * y))
    if rng.random() < 0.5:
        wave = np.sign(wave * np.sin(2 * np.pi * second * y))
    share = (wave[..., None] + 1) / 2
    return Image.fromarray((np.array(colour(rng)) * share + np.array(colour(rng)) * (1 - share)).astype(np.uint8))


def shapes(rng: np.random.Generator) -> Image.Image:
    picture = canvas(rng)
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.integers(1, 30)):
        left, top = rng.integers(-40, SIDE, 2)
        box = (int(left), int(top), int(left + rng.integers(5, 160)), int(top + rng.integers(5, 160)))
        kind = rng.integers(3)
        if kind == 0:
            draw.rectangle(box, fill=colour(rng))
        elif kind == 1:
            draw.ellipse(box, fill=colour(rng))
        else:
            draw.line(box, fill=colour(rng), width=int(rng.integers(1, 12)))
    return picture


def text(rng: np.random.Generator) -> Image.Image:
    """Lines of words, some with a sidebar, a heading or coloured boxes, like pages and screens."""
    dark = rng.random() < 0.2
    picture = Image.new("RGB", (SIDE, SIDE), (30, 30, 34) if dark else (255, 255, 255))
    draw = ImageDraw.Draw(picture)
    if rng.random() < 0.5:
        draw.rectangle((0, 0, SIDE, int(rng.integers(8, 30))), fill=colour(rng))
    left = int(rng.choice([8, 70]))
    if left == 70:
        draw.rectangle((0, 0, 60, SIDE), fill=colour(rng))
    for _ in range(rng.integers(0, 4)):
        x, y = rng.integers(left, SIDE - 20), rng.integers(20, SIDE - 20)
        draw.rectangle((int(x), int(y), int(x + rng.integers(20, 90)), int(y + rng.integers(15, 70))), fill=colour(rng))
    size = int(rng.integers(6, 20))
    ink = (230, 230, 230) if dark else (20, 20, 20)
    for y in range(int(rng.integers(10, 60)), SIDE - 10, int(size * 1.5)):
        line = " ".join(rng.choice(WORDS, rng.integers(2, 9)))
        draw.text((left, y), line, fill=ink, font_size=size)
    return picture


def chart(rng: np.random.Generator) -> Image.Image:
    picture = Image.new("RGB", (SIDE, SIDE), (255, 255, 255))
    draw = ImageDraw.Draw(picture)
    draw.line((20, 10, 20, 236, 246, 236), fill=(0, 0, 0), width=2)
    count = int(rng.integers(4, 20))
    for _ in range(rng.integers(1, 4)):
        ink = colour(rng)
        xs, ys = np.linspace(26, 236, count), 234 - 220 * rng.random(count)
        if rng.random() < 0.5:
            width = 160 / count
            for x, y in zip(xs, ys, strict=True):
                draw.rectangle((float(x), float(y), float(x + width), 235), fill=ink)
        else:
            draw.line([(float(x), float(y)) for x, y in zip(xs, ys, strict=True)], fill=ink, width=3)
    return picture


def spoiled(photo: Image.Image, rng: np.random.Generator) -> Image.Image:
    """A photograph shuffled in tiles, or blurred until nothing can be named."""
    photo = photo.convert("RGB").resize((SIDE, SIDE), Image.BICUBIC)
    if rng.random() < 0.3:
        return photo.filter(ImageFilter.GaussianBlur(float(rng.uniform(20, 40))))
    tile = int(rng.choice([16, 32]))
    count = SIDE // tile
    tiles = np.asarray(photo).reshape(count, tile, count, tile, 3).swapaxes(1, 2).reshape(-1, tile, tile, 3)
    tiles = tiles[rng.permutation(len(tiles))].reshape(count, count, tile, tile, 3)
    return Image.fromarray(tiles.swapaxes(1, 2).reshape(SIDE, SIDE, 3))


DRAWN: list[Callable[[np.random.Generator], Image.Image]] = [noise, gradient, pattern, shapes, text, chart]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs to spoil")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2000)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    photos = sorted(args.photos.glob("*.jpg"))
    (args.out / "images").mkdir(parents=True, exist_ok=True)
    with (args.out / "names.jsonl").open("w") as names:
        for i in range(args.count):
            kind = i % (len(DRAWN) + 1)
            if kind < len(DRAWN):
                picture = DRAWN[kind](rng)
            else:
                picture = spoiled(Image.open(photos[rng.integers(len(photos))]), rng)
            name = f"outlier-{i:05d}.jpg"
            picture.save(args.out / "images" / name, quality=int(rng.integers(60, 95)))
            names.write(json.dumps({"image": name}) + "\n")


if __name__ == "__main__":
    main()
