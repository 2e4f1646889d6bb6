"""What the stem sees in random views of the pictures, made once and kept on disk.

Only the stem's last stage is ever trained, so everything before it is a fixed function of a view. A view is a crop
of 55 to 100 % of the area, mirrored or not, in changed colours. View 0 is the whole picture unchanged, and the only
one for dev.

    OUT/view-000/middle.npy  float16 [n, 16, 16, 120], the input of the stem's last stages
    OUT/view-000/last.npy    float16 [n, 8, 8, 352], their output, before the head convolution
    OUT/names.json           the pictures' names, in that order
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from precision import autocast
from stem import IMAGE_SIZE, early, imagenet_stem, late
from views import normalize, recolour

BATCH = 50


def random_box(rng: np.random.Generator, picture: Image.Image) -> tuple[float, float, float, float]:
    """A crop of 55 to 100 % of the area, as (left, top, right, bottom) in pixels; aspect 3:4 to 4:3 for a square
    picture."""
    area = rng.uniform(0.55, 1.0)
    aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    width = min(1.0, (area * aspect) ** 0.5) * picture.width
    height = min(1.0, (area / aspect) ** 0.5) * picture.height
    left, top = rng.uniform(0, picture.width - width), rng.uniform(0, picture.height - height)
    return left, top, left + width, top + height


def jitter(pixels: torch.Tensor, seed: int) -> torch.Tensor:
    """Slightly changes brightness, contrast and colour of each picture; pixels 0..255, [n, 3, h, w]."""
    generator = torch.Generator().manual_seed(seed)
    n = pixels.shape[0]
    brightness = torch.empty(n, 1, 1, 1).uniform_(0.75, 1.25, generator=generator)
    contrast = torch.empty(n, 1, 1, 1).uniform_(0.75, 1.25, generator=generator)
    colour = torch.empty(n, 3, 1, 1).uniform_(0.94, 1.06, generator=generator)
    return recolour(pixels, brightness, contrast, colour)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--names", type=Path, required=True, help="JSON lines with `image` and perhaps `split`")
    parser.add_argument("--split", help="only the pictures of this split")
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    rows = [row for row in map(json.loads, args.names.open()) if args.split in (None, row.get("split"))]
    names = [row["image"] for row in rows]
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "names.json").write_text(json.dumps(names))
    stem = imagenet_stem()

    def load(job: tuple[int, int]) -> np.ndarray:
        index, view = job
        picture = Image.open(args.images / names[index]).convert("RGB")
        if view == 0:
            return np.asarray(picture.resize((IMAGE_SIZE, IMAGE_SIZE), Image.BICUBIC))
        rng = np.random.default_rng([index, view])
        if rng.random() < 0.5:
            picture = picture.transpose(Image.FLIP_LEFT_RIGHT)
        return np.asarray(picture.resize((IMAGE_SIZE, IMAGE_SIZE), Image.BICUBIC, box=random_box(rng, picture)))

    with ThreadPoolExecutor(2) as pool, torch.inference_mode():
        for view in range(args.views):
            final = args.out / f"view-{view:03d}"
            if final.exists():
                continue
            partial = args.out / f"partial-{view:03d}"
            partial.mkdir(exist_ok=True)
            shapes = {"middle": (len(names), 16, 16, 120), "last": (len(names), 8, 8, 352)}
            kept = {k: np.lib.format.open_memmap(partial / f"{k}.npy", "w+", np.float16, s) for k, s in shapes.items()}
            for start in range(0, len(names), BATCH):
                end = min(start + BATCH, len(names))
                pictures = np.stack(list(pool.map(load, [(i, view) for i in range(start, end)])))
                pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
                if view > 0:
                    pixels = jitter(pixels, start * 1000 + view)
                pixels = normalize(pixels).contiguous(memory_format=torch.channels_last)
                with autocast():
                    middle = early(stem, pixels)
                    last = late(stem, middle)
                kept["middle"][start:end] = middle.permute(0, 2, 3, 1).half().numpy()
                kept["last"][start:end] = last.permute(0, 2, 3, 1).half().numpy()
            for array in kept.values():
                array.flush()
            partial.rename(final)
            print(args.out.name, "view", view, flush=True)


if __name__ == "__main__":
    main()
