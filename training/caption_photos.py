"""Captions photographs that have none with a model of ours, and keeps what it is sure of as captions to train on.

For a labelled photograph, a caption is kept if it names the thing. For any photograph, it is kept if the geometric
mean of its token probabilities is in the better half. Held-back photographs are left out. Writes {"image",
"captions"} lines.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from transformers import BertTokenizerFast

from photos import named, read_photos
from precision import autocast
from stem import load_hybrid_blip
from views import open_views

BATCH = 100


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True, help="labels.jsonl")
    parser.add_argument("--views", type=Path, required=True, help="folder of photos")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(2)

    model = load_hybrid_blip(args.base)
    vocabulary = str(args.base / "vocab.txt")
    tokenizer = BertTokenizerFast(vocab_file=vocabulary, vocab=vocabulary, do_lower_case=True)
    eos, pad = model.config.text_config.sep_token_id, model.config.text_config.pad_token_id
    photos, held_back = read_photos(args.photos)
    labelled = {p.name: p for p in photos}
    views = open_views(args.views / "photos", "last", "cpu")
    names = [n for n in views.names if n not in {p.name for p in held_back}]

    captions, scores = [], []
    for start in range(0, len(names), BATCH):
        with autocast():
            answer = model.generate(
                pixel_values=views.whole(names[start : start + BATCH]).float(),
                max_new_tokens=25, do_sample=False, num_beams=1, output_scores=True, return_dict_in_generate=True,
            )  # fmt: skip
        ids = answer.sequences[:, 1:]
        logs = torch.stack(answer.scores, 1).float().log_softmax(-1).gather(2, ids[..., None])[..., 0]
        said = ids != pad
        scores += ((logs * said).sum(1) / said.sum(1)).exp().tolist()
        captions += tokenizer.batch_decode(ids.where(ids != eos, pad), skip_special_tokens=True)

    sure = np.array(scores) >= np.median(scores)
    with args.out.open("w") as file:
        for name, caption, is_sure in zip(names, captions, sure, strict=True):
            photo = labelled.get(name)
            if is_sure and (photo is None or named(caption, photo)):
                file.write(json.dumps({"image": name, "captions": [caption]}) + "\n")


if __name__ == "__main__":
    main()
