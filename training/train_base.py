"""Trains the embedded base model: a hybrid BLIP behind an ImageNet stem, on Flickr8k's train split and labelled photographs.

A run takes a given number of minutes, in which the learning rate rises and falls once. The stem stays frozen; with
`--tune-stem` its last stages are trained too, at a low rate. On a CPU that takes two runs, on the stem's output for
some views (`stem_views.py`), and depthwise convolutions stay as they are. On a GPU it takes one, on the pictures
themselves (`pixels.py`).

A batch contains
- captioned pictures, with some of their captions each;
- photographs whose class is named in a few words, at a quarter of the weight;
- pictures that are no photographs (`outliers.py`) with other pictures' captions, so that the model is unsure of
  them, also at a quarter of the weight.

A stopped run resumes from its checkpoint. Each evaluation writes the averaged weights in Hugging Face's format if
their CIDEr-D on dev is the best so far.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from transformers import BertTokenizerFast, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor

from captions import MAX_CAPTION_TOKENS, LabelledImage, pack, read_captions, write_vocabulary
from photos import Photo, named, read_photos
from precision import autocast
from score import score
from stem import (
    FIRST_LATE_BLOCK, IMAGE_SIZE, PIXEL_MEAN, PIXEL_STD, hybrid_blip, imagenet_stem, load_hybrid_blip, stem_config, stored_weights,
)  # fmt: skip
from views import open_views

PHOTO_WEIGHT = OUTLIER_WEIGHT = 0.25
# How many parts the pictures are divided into for --leave-out.
PARTS = 4


def is_left_out(index: int, part: int) -> bool:
    """Whether a model without `part` never sees the training picture at `index`."""
    return index % PARTS == part


def blip_config(vocabulary_size: int, args: argparse.Namespace) -> BlipConfig:
    """BLIP's published layout on a small scale: [DEC], the first token of a caption, comes after the vocabulary."""
    return BlipConfig(
        vision_config=dict(
            hidden_size=args.hidden,
            intermediate_size=4 * args.hidden,
            num_hidden_layers=args.vision_layers,
            num_attention_heads=args.hidden // 64,
            image_size=IMAGE_SIZE,
            patch_size=32,
            attention_dropout=0.0,
            initializer_range=0.02,
        ),
        text_config=dict(
            vocab_size=vocabulary_size + 2,
            hidden_size=args.hidden,
            encoder_hidden_size=args.hidden,
            intermediate_size=4 * args.hidden,
            num_hidden_layers=args.text_layers,
            num_attention_heads=args.hidden // 64,
            max_position_embeddings=64,
            bos_token_id=vocabulary_size,
            pad_token_id=0,
            eos_token_id=3,
            sep_token_id=3,
            hidden_dropout_prob=args.dropout,
            attention_probs_dropout_prob=0.1,
        ),
    )


@torch.no_grad()
def caption_all(model: BlipForConditionalGeneration, tokenizer: BertTokenizerFast, inputs: torch.Tensor) -> list[str]:
    """Greedy captions by transformers' own generate; inputs are pixels or the stem's output for them."""
    captions = []
    for start in range(0, len(inputs), 100):
        with autocast(inputs.device.type):
            ids = model.generate(
                pixel_values=inputs[start : start + 100].float(), max_new_tokens=25, do_sample=False, num_beams=1
            )
        captions += tokenizer.batch_decode(ids, skip_special_tokens=True)
    return captions


def evaluate(
    model: BlipForConditionalGeneration,
    tokenizer: BertTokenizerFast,
    dev: tuple[list[LabelledImage], torch.Tensor],
    held_back: tuple[list[Photo], torch.Tensor],
) -> tuple[dict[str, float], dict[str, str]]:
    """Scores on dev, the number of different captions, and the share of held-back photographs whose thing is named."""
    model.eval()
    images, inputs = dev
    captions = dict(zip([i.name for i in images], caption_all(model, tokenizer, inputs), strict=True))
    scores = score(captions, {i.name: i.captions for i in images})
    scores["distinct"] = len(set(captions.values()))
    photos, inputs = held_back
    said = caption_all(model, tokenizer, inputs)
    scores["named"] = sum(named(c, p) for c, p in zip(said, photos, strict=True)) / len(photos)
    model.train()
    return scores, captions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captions", type=Path, required=True, help="Flickr8k's captions.jsonl")
    parser.add_argument("--photos", type=Path, required=True, help="labels.jsonl of the labelled photographs")
    parser.add_argument("--pseudo-captions", type=Path, help="confident captions of photographs, by `caption_photos.py`")
    parser.add_argument("--views", type=Path, required=True, help="folder of train, dev, photos and outliers")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint and best model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--start-from", type=Path, help="folder of a base, e.g. for a second run with --tune-stem")
    parser.add_argument("--tune-stem", action="store_true")
    parser.add_argument("--tune-from", type=int, default=FIRST_LATE_BLOCK, help="the first block of the stem that is trained")
    parser.add_argument("--leave-out", type=int, choices=range(PARTS), help="train without this part, for `out_of_fold.py`")
    parser.add_argument("--pictures", type=int, default=48, help="a batch")
    parser.add_argument("--captions-each", type=int, default=2)
    parser.add_argument("--photos-a-batch", type=int, default=24)
    parser.add_argument("--outliers-a-batch", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--lr", type=float, default=8e-4)
    parser.add_argument("--stem-lr", type=float, default=1e-4)
    parser.add_argument("--hidden", type=int, default=320)
    parser.add_argument("--vision-layers", type=int, default=2)
    parser.add_argument("--text-layers", type=int, default=3)
    parser.add_argument("--dropout", type=float, default=0.2)
    parser.add_argument("--vocabulary", type=int, default=4000)
    parser.add_argument("--evaluate-every", type=float, default=6, help="minutes")
    args = parser.parse_args()
    device = args.device
    torch.set_num_threads(2)
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    rng = np.random.default_rng(int(time.time()))
    args.out.mkdir(parents=True, exist_ok=True)

    train, dev = read_captions(args.captions, "train"), read_captions(args.captions, "dev")
    photos, held_back = read_photos(args.photos)
    if args.leave_out is not None:
        train = [image for i, image in enumerate(train) if not is_left_out(i, args.leave_out)]
    if args.pseudo_captions:
        said = {row["image"]: row["captions"] for row in map(json.loads, args.pseudo_captions.open())}
        labelled = {p.name for p in photos}
        photos = [Photo(p.name, p.captions + said.get(p.name, []), p.names) for p in photos]
        photos += [Photo(name, captions, []) for name, captions in said.items() if name not in labelled]
    if args.leave_out is not None:
        photos = [photo for i, photo in enumerate(photos) if not is_left_out(i, args.leave_out)]
    vocabulary = args.out / "vocab.txt"
    if args.start_from:
        vocabulary.write_bytes((args.start_from / "vocab.txt").read_bytes())
    elif not vocabulary.exists():
        words = [c for i in train for c in i.captions] + [c for p in photos for c in p.captions] * 2
        write_vocabulary(words, args.vocabulary, vocabulary)
    tokenizer = BertTokenizerFast(vocab_file=str(vocabulary), vocab=str(vocabulary), do_lower_case=True)

    def tokens(captions: list[str]) -> list[list[int]]:
        return [ids[:MAX_CAPTION_TOKENS] for ids in tokenizer(captions, add_special_tokens=False)["input_ids"]]

    train_ids = [tokens(i.captions) for i in train]
    photo_ids = [tokens(p.captions) for p in photos]

    key = "middle" if args.tune_stem else "last"
    train_views, dev_views, photo_views, outlier_views = (
        open_views(args.views / part, key, device) for part in ("train", "dev", "photos", "outliers")
    )
    dev_inputs = (dev, dev_views.whole([i.name for i in dev]))
    held_back_inputs = (held_back, photo_views.whole([p.name for p in held_back]))

    model = hybrid_blip(blip_config(len(tokenizer), args), imagenet_stem())
    if args.start_from:
        model.load_state_dict(load_hybrid_blip(args.start_from).state_dict())
    model.to(device)
    text = model.config.text_config
    bos, eos, pad = text.bos_token_id, text.sep_token_id, text.pad_token_id
    stem = model.vision_model.embeddings.patch_embedding.stem
    stem.requires_grad_(False)
    tuned = []
    if args.tune_stem:
        for part in (*stem._blocks[args.tune_from :], stem._conv_head, stem._bn1):
            # On a CPU, the gradient of depthwise weights takes longer than everything else together.
            for name, parameter in part.named_parameters():
                parameter.requires_grad_(device != "cpu" or "_depthwise_conv" not in name)
        tuned = [p for p in stem.parameters() if p.requires_grad]
    inside = {id(p) for p in stem.parameters()}
    behind = [p for p in model.parameters() if id(p) not in inside]
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998))
    groups = [
        {"params": [p for p in behind if p.ndim >= 2], "weight_decay": 0.05, "top": args.lr},
        {"params": [p for p in behind if p.ndim < 2], "weight_decay": 0.0, "top": args.lr},
        *([{"params": tuned, "weight_decay": 0.0, "top": args.stem_lr}] if tuned else []),
    ]
    optimizer = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98), fused=True)
    print("parameters", sum(p.numel() for p in model.parameters()), flush=True)

    checkpoint = args.out / "checkpoint.pt"
    step, epoch, used, best = 0, 0, 0.0, -1.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=False, map_location=device)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, epoch, used, best = state["step"], state["epoch"], state["used"], state["best"]

    log = (args.out / "log.jsonl").open("a")
    clock = time.time()
    next_evaluation = used + 60 * args.evaluate_every
    running = []
    model.train()
    total = 60 * args.minutes
    pictures, photos_a_batch, outliers = args.pictures, args.photos_a_batch, args.outliers_a_batch
    photo_order = rng.permutation(len(photos))
    photo_at = 0
    while used < total:
        train_views.refresh()
        photo_views.refresh()
        order = rng.permutation(len(train))
        for start in range(0, len(order) - pictures + 1, pictures):
            share = used / total
            rate = min(share / 0.08, 0.5 * (1 + math.cos(math.pi * (min(1, share) - 0.08) / 0.92)))
            for group in optimizer.param_groups:
                group["lr"] = group["top"] * max(0.01, rate)
            pick = order[start : start + pictures]
            if photo_at + photos_a_batch > len(photos):
                photo_order, photo_at = rng.permutation(len(photos)), 0
            extra = photo_order[photo_at : photo_at + photos_a_batch]
            photo_at += photos_a_batch
            chosen = [[train_ids[i][c] for c in rng.permutation(5)[: args.captions_each]] for i in pick]
            chosen += [[photo_ids[i][rng.integers(len(photo_ids[i]))]] for i in extra]
            chosen += [[train_ids[rng.integers(len(train))][rng.integers(5)]] for _ in range(outliers)]
            packed = pack(chosen, bos, eos, pad, device)
            inputs = torch.cat([
                train_views.pick([train[i].name for i in pick], rng),
                photo_views.pick([photos[i].name for i in extra], rng),
                outlier_views.pick(rng.choice(outlier_views.names, outliers), rng),
            ])  # fmt: skip
            with autocast(device):
                states = model.vision_model(pixel_values=inputs).last_hidden_state
                logits = model.text_decoder(
                    input_ids=packed.input_ids,
                    position_ids=packed.position_ids,
                    attention_mask=packed.attention_mask,
                    encoder_hidden_states=states,
                    use_cache=False,
                ).logits.float()
            losses = []
            parts = slice(0, pictures), slice(pictures, pictures + photos_a_batch), slice(pictures + photos_a_batch, None)
            for part in parts:
                losses.append(F.cross_entropy(logits[part].flatten(0, 1), packed.labels[part].flatten(), label_smoothing=0.1))
            loss = losses[0] + PHOTO_WEIGHT * losses[1] + OUTLIER_WEIGHT * losses[2]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(behind + tuned, 1.0)
            optimizer.step()
            average.update_parameters(model)
            step += 1
            running.append(torch.stack(losses).detach())
            now = time.time()
            used, clock = used + now - clock, now
            if step % 50 == 0:
                means = torch.stack(running).mean(0).cpu().numpy().round(4).tolist()
                running = []
                print(json.dumps({"step": step, "epoch": epoch, "minutes": round(used / 60, 1), "losses": means}), flush=True)
            if used >= next_evaluation or used >= total:
                next_evaluation = used + 60 * args.evaluate_every
                scores, captions = evaluate(average.module, tokenizer, dev_inputs, held_back_inputs)
                line = {"step": step, "epoch": epoch, "minutes": round(used / 60, 1), **{k: round(v, 4) for k, v in scores.items()}}
                print(json.dumps(line), list(captions.values())[:3], flush=True)
                log.write(json.dumps(line) + "\n")
                log.flush()
                if scores["CIDEr-D"] > best:
                    best = scores["CIDEr-D"]
                    save(average.module, vocabulary, args.out / "best")
                state = dict(
                    model=model.state_dict(), average=average.state_dict(), optimizer=optimizer.state_dict(),
                    step=step, epoch=epoch, used=used, best=best,
                )  # fmt: skip
                torch.save(state, args.out / "partial.pt")
                (args.out / "partial.pt").rename(checkpoint)
                clock = time.time()
            if used >= total:
                break
        epoch += 1


def save(model: BlipForConditionalGeneration, vocabulary: Path, folder: Path) -> None:
    """Saves the model with everything that Hugging Face users expect beside it: float16, batch statistics in float32."""
    folder.mkdir(parents=True, exist_ok=True)
    config = BlipConfig.from_dict(model.config.to_dict())
    config.text_config.hidden_dropout_prob = 0.0
    config.text_config.attention_probs_dropout_prob = 0.0
    config.vision_config.stem = stem_config(model.vision_model.embeddings.patch_embedding.stem)
    config.architectures = ["BlipForConditionalGeneration"]
    config.save_pretrained(folder)
    weights = {n: t.clone() if "._bn" in n else t.half() for n, t in stored_weights(model).items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    BlipImageProcessor(
        size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        image_mean=[PIXEL_MEAN / 255] * 3,
        image_std=[PIXEL_STD / 255] * 3,
    ).save_pretrained(folder)
    (folder / "vocab.txt").write_bytes(vocabulary.read_bytes())
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 64}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
