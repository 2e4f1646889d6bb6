"""Captions the training pictures, Flickr8k's and the labelled photographs, each with a model that has not seen it.

Each part of them is captioned by the model that was trained without it (`train_base.py --leave-out`). Writes
{"image", "caption"} lines for `picture_head.py`.
"""

import argparse
import json
from pathlib import Path

from transformers import BertTokenizerFast

from captions import read_captions
from photos import read_photos
from stem import load_hybrid_blip
from train_base import PARTS, caption_all, is_left_out
from views import open_views

BATCH = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", type=Path, required=True, help="Flickr8k's captions.jsonl")
    parser.add_argument("--photos", type=Path, required=True, help="labels.jsonl of the labelled photographs")
    parser.add_argument("--views", type=Path, required=True, help="folder of train and photos")
    parser.add_argument("--bases", type=Path, nargs=PARTS, required=True, help="the `best` folders of --leave-out 0, 1, ...")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    train, (photos, _) = read_captions(args.captions, "train"), read_photos(args.photos)
    train_views, photo_views = (open_views(args.views / part, "middle", args.device) for part in ("train", "photos"))

    said: list[dict] = []
    for part, folder in enumerate(args.bases):
        model = load_hybrid_blip(folder).to(args.device)
        vocabulary = str(folder / "vocab.txt")
        tokenizer = BertTokenizerFast(vocab_file=vocabulary, vocab=vocabulary, do_lower_case=True)
        for views, names in ((train_views, [i.name for i in train]), (photo_views, [p.name for p in photos])):
            unseen = [name for i, name in enumerate(names) if is_left_out(i, part)]
            for start in range(0, len(unseen), BATCH):
                some = unseen[start : start + BATCH]
                captions = caption_all(model, tokenizer, views.whole(some))
                said += [{"image": name, "caption": caption} for name, caption in zip(some, captions, strict=True)]
    args.out.write_text("".join(json.dumps(row) + "\n" for row in said))
    print(len(said), "captions")


if __name__ == "__main__":
    main()
