"""Captions labelled pictures with transformers, for `npm run bench -- parity` to compare with.

Writes reference.json and pixels.bin (uint8 [n, 3, size, size], resized to a square by Pillow's bicubic like the
BLIP processor).
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import BertTokenizerFast

from captions import read_captions
from models import normalization, open_blip


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--max-new-tokens", type=int, default=30)
    parser.add_argument("--num-beams", type=int, default=1)
    parser.add_argument("--image-size", type=int, help="the trained size by default")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    images = read_captions(args.captions, args.split)[: args.limit]
    model = open_blip(args.base, args.adapter)
    mean, std = normalization(args.base)
    vocabulary = str(args.base / "vocab.txt")
    tokenizer = BertTokenizerFast(vocab_file=vocabulary, vocab=vocabulary, do_lower_case=True)
    size = args.image_size or model.config.vision_config.image_size

    rows = []
    with (args.out / "pixels.bin").open("wb") as file:
        for start in range(0, len(images), 50):
            batch = images[start : start + 50]
            pictures = [Image.open(args.images / i.name).convert("RGB").resize((size, size), Image.BICUBIC) for i in batch]
            pixels = np.stack([np.asarray(p) for p in pictures]).transpose(0, 3, 1, 2)
            file.write(np.ascontiguousarray(pixels).tobytes())
            values = (torch.from_numpy(pixels.copy()).float() / 255 - mean) / std
            answer = model.generate(
                pixel_values=values,
                max_new_tokens=args.max_new_tokens,
                interpolate_pos_encoding=size != model.config.vision_config.image_size,
                do_sample=False,
                num_beams=args.num_beams,
                output_scores=True,
                return_dict_in_generate=True,
            )
            ids = answer.sequences[:, 1:]
            texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
            # How close the runner-up came at each step: if two tokens tie, either implementation may choose either
            # of them. (With beams, the scores of a step are those of all beams, not only of the winning one.)
            if args.num_beams == 1:
                best_two = torch.stack(answer.scores, 1).topk(2).values
                margins = (best_two[..., 0] - best_two[..., 1]).tolist()
            else:
                margins = [[] for _ in batch]
            for image, row, text, margin in zip(batch, ids.tolist(), texts, margins, strict=True):
                rows.append({"image": image.name, "token_ids": row, "caption": text, "margins": [round(m, 6) for m in margin]})
    (args.out / "reference.json").write_text(json.dumps({"size": size, "max_new_tokens": args.max_new_tokens, "num_beams": args.num_beams, "rows": rows}) + "\n")
    print(f"{len(rows)} pictures")


if __name__ == "__main__":
    main()
