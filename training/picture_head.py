"""Makes a base's picture head: how well the model can be expected to describe a picture, from the picture alone.

A model cannot tell how hard the pictures are that it was trained on. So the head learns from what other models said
about training pictures that they had not seen (`out_of_fold.py`). For Flickr8k's pictures it learns the caption's
CIDEr-D, at most 1; for labelled photographs, whether the thing was named. A ridge regression predicts that from the
mean of the base's own encoder output.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from pycocoevalcap.cider.cider import Cider
from safetensors.torch import save_file

from captions import LabelledImage, read_captions
from photos import named, read_photos
from precision import autocast
from score import normalize
from stem import load_hybrid_blip
from views import open_views

RIDGE = 1000.0
# Sets about as large as dev, because CIDEr-D weighs words by how rare they are in the set.
SET_SIZE = 1000
# Score of a photograph whose thing is named: about the mean of Flickr8k's captions with a CIDEr-D of at least 0.5,
# counting at most 1 each (0.82).
WORTH_OF_NAMED = 0.8
BATCH = 100


def cider_of_each(captions: dict[str, str], images: list[LabelledImage]) -> dict[str, float]:
    order = np.random.default_rng(0).permutation(len(images))
    found = {}
    for some in np.array_split(order, max(1, len(images) // SET_SIZE)):
        references = {images[i].name: [normalize(c) for c in images[i].captions] for i in some}
        said = {name: [normalize(captions[name])] for name in references}
        found |= dict(zip(references, Cider().compute_score(references, said)[1].tolist(), strict=True))
    return found


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", type=Path, required=True, help="Flickr8k's captions.jsonl")
    parser.add_argument("--photos", type=Path, required=True, help="labels.jsonl of the labelled photographs")
    parser.add_argument("--views", type=Path, required=True, help="folder of train and photos")
    parser.add_argument("--said", type=Path, required=True, help="said.jsonl of out_of_fold.py")
    parser.add_argument("--base", type=Path, required=True, help="folder of the base; the head is written beside its weights")
    args = parser.parse_args()
    said = {row["image"]: row["caption"] for row in map(json.loads, args.said.open())}
    train, (photos, _) = read_captions(args.captions, "train"), read_photos(args.photos)
    worth = {name: min(1.0, cider) for name, cider in cider_of_each(said, train).items()}
    worth |= {photo.name: WORTH_OF_NAMED * named(said[photo.name], photo) for photo in photos}

    model = load_hybrid_blip(args.base)
    means, target = [], []
    for part, names in (("train", [i.name for i in train]), ("photos", [p.name for p in photos])):
        views = open_views(args.views / part, "middle", "cpu")
        for start in range(0, len(names), BATCH):
            some = names[start : start + BATCH]
            with autocast():
                means.append(model.vision_model(pixel_values=views.whole(some).float()).last_hidden_state.float().mean(1))
            target += [worth[name] for name in some]
    # [pictures, hidden]: the encoder's output, averaged over its tokens.
    inputs, wanted = torch.cat(means).double().numpy(), np.array(target)
    center, deviation = inputs.mean(0), inputs.std(0)
    standardized = (inputs - center) / deviation
    weight = np.linalg.solve(
        standardized.T @ standardized + RIDGE * np.eye(inputs.shape[1]), standardized.T @ (wanted - wanted.mean())
    )
    weight /= deviation
    head = {
        "picture_head.weight": torch.tensor(weight[None], dtype=torch.float32),
        "picture_head.bias": torch.tensor([wanted.mean() - center @ weight], dtype=torch.float32),
    }
    save_file(head, args.base / "picture_head.safetensors", metadata={"format": "pt"})
    print(len(wanted), "pictures, worth", round(float(wanted.mean()), 4))


if __name__ == "__main__":
    main()
