"""Reads pictures once for training on a GPU, which draws views of them itself.

    OUT/pixels.npy  uint8 [n, 256, 256, 3], resized to a square like in BLIP's processor (bicubic)
    OUT/names.json  the pictures' names, in that order
"""

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

# The same as stem.py's IMAGE_SIZE; importing it would load PyTorch into every process.
SIDE = 256


def load(folder: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(folder / name).convert("RGB").resize((SIDE, SIDE), Image.BICUBIC))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--names", type=Path, required=True, help="JSON lines with `image` and perhaps `split`")
    parser.add_argument("--split", help="only the pictures of this split")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rows = [row for row in map(json.loads, args.names.open()) if args.split in (None, row.get("split"))]
    names = [row["image"] for row in rows]
    args.out.mkdir(parents=True, exist_ok=True)
    pixels = np.lib.format.open_memmap(args.out / "pixels.npy", "w+", np.uint8, (len(names), SIDE, SIDE, 3))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for i, picture in enumerate(pool.map(partial(load, args.images), names, chunksize=50)):
            pixels[i] = picture
    pixels.flush()
    (args.out / "names.json").write_text(json.dumps(names))


if __name__ == "__main__":
    main()
