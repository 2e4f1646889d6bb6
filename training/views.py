"""Random views of pictures: a crop of half to all of the area, mirrored or not, in changed colours.

There are two kinds, used alike; the contents of the folder decide which. On a CPU the stem is most of the work, so
its output for a few views is read from disk (`stem_views.py`). On a GPU every view is drawn anew (`pixels.py`).
"""

import json
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional as F

from stem import PIXEL_MEAN, PIXEL_STD

LEAST_AREA = 0.5
ASPECT = 4 / 3


class Views(Protocol):
    names: list[str]

    def pick(self, names: list[str], rng: np.random.Generator) -> torch.Tensor:
        """[n, channels, side, side] float32, a random view of each picture."""

    def whole(self, names: list[str]) -> torch.Tensor:
        """[n, channels, side, side] float16, for the whole pictures."""

    def refresh(self) -> None:
        """Includes views that have been made since."""


class StoredViews:
    """The stem's output for some views of each picture; new views are included as they are made."""

    def __init__(self, folder: Path, key: str):
        self.folder, self.key = folder, key
        self.names: list[str] = json.loads((folder / "names.json").read_text())
        self.row = {name: i for i, name in enumerate(self.names)}
        self.refresh()

    def refresh(self) -> None:
        self.arrays = [np.load(p / f"{self.key}.npy", mmap_mode="r") for p in sorted(self.folder.glob("view-*"))]

    def pick(self, names: list[str], rng: np.random.Generator) -> torch.Tensor:
        views = rng.integers(len(self.arrays), size=len(names))
        rows = np.stack([self.arrays[v][self.row[name]] for v, name in zip(views, names, strict=True)])
        return torch.from_numpy(rows).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)

    def whole(self, names: list[str]) -> torch.Tensor:
        return torch.from_numpy(self.arrays[0][[self.row[name] for name in names]]).permute(0, 3, 1, 2)


class DrawnViews:
    """The pictures themselves on the device; each view is drawn when it is requested."""

    def __init__(self, folder: Path, device: str):
        self.names: list[str] = json.loads((folder / "names.json").read_text())
        self.row = {name: i for i, name in enumerate(self.names)}
        # [n, 3, side, side] uint8, channels last in memory.
        self.pixels = torch.from_numpy(np.load(folder / "pixels.npy")).to(device).permute(0, 3, 1, 2)

    def refresh(self) -> None:
        pass

    def pick(self, names: list[str], rng: np.random.Generator) -> torch.Tensor:
        pixels = self._rows(names).float()
        device, n = pixels.device, len(names)
        numbers = torch.from_numpy(random_views(n, rng)).to(device, torch.float32)
        width, height, x, y, mirrored = numbers[:, :5].T
        zero = torch.zeros_like(width)
        theta = torch.stack([torch.stack([width * mirrored, zero, x], 1), torch.stack([zero, height, y], 1)], 1)
        grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
        views = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
        brightness, contrast = numbers[:, 5, None, None, None], numbers[:, 6, None, None, None]
        colour = numbers[:, 7:10, None, None]
        views = recolour(views, brightness, contrast, colour)
        return normalize(views).contiguous(memory_format=torch.channels_last)

    def whole(self, names: list[str]) -> torch.Tensor:
        return normalize(self._rows(names).float()).half()

    def _rows(self, names: list[str]) -> torch.Tensor:
        return self.pixels[torch.tensor([self.row[name] for name in names], device=self.pixels.device)]


def random_views(n: int, rng: np.random.Generator) -> np.ndarray:
    """[n, 10]: width, height (0..1) and middle (-1..1) of the crop, -1 if mirrored, brightness, contrast, a factor per
    colour."""
    area = rng.uniform(LEAST_AREA, 1.0, n)
    aspect = np.exp(rng.uniform(-np.log(ASPECT), np.log(ASPECT), n))
    width, height = np.minimum(1, np.sqrt(area * aspect)), np.minimum(1, np.sqrt(area / aspect))
    x, y = rng.uniform(-1, 1, n) * (1 - width), rng.uniform(-1, 1, n) * (1 - height)
    mirrored = rng.choice([-1.0, 1.0], n)
    light = rng.uniform(0.75, 1.25, (2, n))
    return np.stack([width, height, x, y, mirrored, *light, *rng.uniform(0.94, 1.06, (3, n))], 1)


def recolour(
    pixels: torch.Tensor, brightness: torch.Tensor, contrast: torch.Tensor, colour: torch.Tensor
) -> torch.Tensor:
    """Pixels 0..255, [n, 3, h, w]; factors [n, 1, 1, 1], of colour [n, 3, 1, 1]."""
    mean = pixels.mean((1, 2, 3), keepdim=True)
    return ((pixels - mean) * contrast + mean * brightness).mul(colour).clamp(0, 255)


def normalize(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels 0..255 normalized for the stem."""
    return (pixels - PIXEL_MEAN) / PIXEL_STD


def open_views(folder: Path, key: str, device: str) -> Views:
    """key: which of the stem's maps, for stored views."""
    return DrawnViews(folder, device) if (folder / "pixels.npy").exists() else StoredViews(folder, key)
