"""Fine-tunes a PEFT LoRA adapter on the embedded base: r 16, alpha 32, dropout 0.05, on `query` and `value`.

It begins with the card's recipe (cross-entropy, AdamW, batch 128 captions, bfloat16), but with fewer epochs,
because the base has seen the same captions, and at a learning rate that suits a model this small. Self-critical
training (Rennie et al. 2017, arXiv:1612.00563) follows, for `--reward-minutes`: sampled captions are pushed up or
down by their CIDEr-D, compared with the mean of the other samples of the same picture.

In both, the labelled photographs are still named and the outliers still get other pictures' captions, each at a
quarter of the weight, because otherwise the adapter would unlearn them. The encoder has no LoRA layers: on a CPU
its output is computed once per view, on a GPU for each view as it is drawn.
"""

import argparse
import json
import math
import multiprocessing
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn import functional as F
from transformers import BertTokenizerFast, BlipForConditionalGeneration

from captions import MAX_CAPTION_TOKENS, LabelledImage, PackedCaptions, pack, read_captions
from photos import read_photos
from precision import autocast
from score import normalize
from stem import load_hybrid_blip
from train_base import OUTLIER_WEIGHT, PHOTO_WEIGHT, evaluate
from views import StoredViews, Views, open_views

SAMPLES = 5
# Samples are drawn, and their probabilities changed, at this temperature: after label smoothing the model's tail is
# noise.
TEMPERATURE = 0.6
PHOTOS, OUTLIERS = 16, 8
# An adapter is judged by all four, each relative to the goal for the embedded model.
GOALS = {"BLEU-4": 0.18, "ROUGE-L": 0.44, "CIDEr-D": 0.45, "distinct": 700}


class Encoded:
    """The encoder's output for random views of pictures; for stored views it is computed once."""

    @torch.no_grad()
    def __init__(self, model: BlipForConditionalGeneration, views: Views, names: list[str], count: int):
        self.model, self.views, self.names = model, views, names
        self.states: torch.Tensor | None = None
        if isinstance(views, StoredViews):
            parts = []
            rows = [views.row[name] for name in names]
            for array in views.arrays[:count]:
                for start in range(0, len(rows), 200):
                    inputs = torch.from_numpy(array[rows[start : start + 200]]).permute(0, 3, 1, 2).float()
                    with autocast():
                        parts.append(model.vision_model(pixel_values=inputs).last_hidden_state.to(torch.bfloat16))
            # [views, n, 65, hidden]
            self.states = torch.cat(parts).unflatten(0, (-1, len(rows)))

    @torch.no_grad()
    def pick(self, which: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        """[n, 65, hidden] float32, for a random view of each picture."""
        if self.states is not None:
            return self.states[rng.integers(len(self.states), size=len(which)), which].float()
        inputs = self.views.pick([self.names[i] for i in which], rng)
        with autocast(inputs.device.type):
            return self.model.vision_model(pixel_values=inputs).last_hidden_state.float()


class CiderReward:
    """CIDEr-D of any caption of a training picture, with document frequencies from the training references."""

    def __init__(self, images: list[LabelledImage]):
        grams = [[self.counts(c) for c in i.captions] for i in images]
        self.frequency = Counter(g for refs in grams for g in {g for ref in refs for g in ref})
        self.log_size = math.log(len(images))
        self.references = [[self.weigh(ref) for ref in refs] for refs in grams]

    @staticmethod
    def counts(caption: str) -> Counter:
        # The end counts as a word; otherwise captions that stop at "on a" would be rewarded.
        words = [*normalize(caption).split(), "<end>"]
        return Counter(tuple(words[i : i + n]) for n in range(1, 5) for i in range(len(words) - n + 1))

    def weigh(self, counts: Counter) -> tuple[list[dict], list[float], int]:
        vectors: list[dict] = [{}, {}, {}, {}]
        for gram, count in counts.items():
            vectors[len(gram) - 1][gram] = count * (self.log_size - math.log(max(1, self.frequency[gram])))
        norms = [math.sqrt(sum(v * v for v in vector.values())) for vector in vectors]
        return vectors, norms, sum(c for g, c in counts.items() if len(g) == 2)

    def __call__(self, index: int, caption: str) -> float:
        vectors, norms, length = self.weigh(self.counts(caption))
        total = 0.0
        for reference, reference_norms, reference_length in self.references[index]:
            penalty = math.exp(-((length - reference_length) ** 2) / 72)
            for n in range(4):
                other = reference[n]
                dot = sum(min(w, other[g]) * other[g] for g, w in vectors[n].items() if g in other)
                if dot:
                    total += penalty * dot / (norms[n] * reference_norms[n])
        return 10 * total / 4 / len(self.references[index])


class Scorers:
    """Processes that score captions. They are forked, so they must be made before anything is on a GPU."""

    reward: CiderReward

    def __init__(self, images: list[LabelledImage]):
        Scorers.reward = CiderReward(images)
        self.pool = multiprocessing.get_context("fork").Pool(min(12, os.cpu_count() or 1))

    @staticmethod
    def score(job: tuple[int, str]) -> float:
        return Scorers.reward(*job)

    def __call__(self, jobs: list[tuple[int, str]]) -> np.ndarray:
        """The rewards for pairs of a picture's index and a caption."""
        return np.array(self.pool.map(Scorers.score, jobs, chunksize=16))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--captions", type=Path, required=True, help="Flickr8k's captions.jsonl")
    parser.add_argument("--photos", type=Path, required=True, help="labels.jsonl of the labelled photographs")
    parser.add_argument("--views", type=Path, required=True, help="folder of train, dev, photos and outliers")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start-from", type=Path, help="an adapter to go on from, in place of a new one")
    parser.add_argument("--epochs", type=int, default=2, help="of cross-entropy; 0 leaves that phase out")
    parser.add_argument("--lr", type=float, default=1e-4, help="the card's 5e-5 moves a model this small too little")
    parser.add_argument("--reward-minutes", type=float, default=0)
    parser.add_argument("--reward-lr", type=float, default=2e-4)
    parser.add_argument("--reward-pictures", type=int, default=32, help="a step")
    parser.add_argument("--evaluate-every", type=float, default=3, help="minutes of rewarded steps")
    parser.add_argument("--train-views", type=int, default=4, help="of stored views, the first so many")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    device = args.device
    torch.set_num_threads(2)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)

    train, dev = read_captions(args.captions, "train"), read_captions(args.captions, "dev")
    rewards_of = Scorers(train)
    photos, held_back = read_photos(args.photos)
    vocabulary = str(args.base / "vocab.txt")
    tokenizer = BertTokenizerFast(vocab_file=vocabulary, vocab=vocabulary, do_lower_case=True)

    def tokens(captions: list[str]) -> list[list[int]]:
        return [ids[:MAX_CAPTION_TOKENS] for ids in tokenizer(captions, add_special_tokens=False)["input_ids"]]

    token_ids, photo_ids = [tokens(i.captions) for i in train], [tokens(p.captions) for p in photos]
    model = load_hybrid_blip(args.base)
    text = model.config.text_config
    bos, eos, pad = text.bos_token_id, text.sep_token_id, text.pad_token_id

    model.to(device)
    views = {part: open_views(args.views / part, "middle", device) for part in ("train", "dev", "photos", "outliers")}
    judged = (
        (dev, views["dev"].whole([i.name for i in dev])),
        (held_back, views["photos"].whole([p.name for p in held_back])),
    )
    scores, before = evaluate(model, tokenizer, *judged)
    print("base", json.dumps({k: round(v, 4) for k, v in scores.items()}), flush=True)
    log = {"base": scores}
    model.eval()
    pictures = Encoded(model, views["train"], [i.name for i in train], args.train_views)
    named_pictures = Encoded(model, views["photos"], [p.name for p in photos], 1)
    outliers = Encoded(model, views["outliers"], views["outliers"].names, 1)

    if args.start_from:
        peft_model = PeftModel.from_pretrained(model, args.start_from, is_trainable=True)
        for parameter in peft_model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
    else:
        peft_model = get_peft_model(
            model, LoraConfig(r=16, lora_alpha=32, lora_dropout=0.05, target_modules=["query", "value"])
        )
    peft_model.print_trainable_parameters()
    parameters = [p for p in peft_model.parameters() if p.requires_grad]
    best = -1.0

    def keep_if_better(label: str) -> None:
        nonlocal best
        scores, captions = evaluate(model, tokenizer, *judged)
        changed = sum(captions[name] != before[name] for name in before)
        print(label, json.dumps({k: round(v, 4) for k, v in scores.items()}), "changed", changed, flush=True)
        # Fewer different captions than the goal cost; more gain nothing.
        quality = sum(
            min(1.0, scores[name] / goal) if name == "distinct" else scores[name] / goal for name, goal in GOALS.items()
        )
        if quality > best:
            best = quality
            save(peft_model, args.out)
            log["adapter"] = {**scores, "changed": changed, "after": label}
            (args.out.parent / "scores.json").write_text(json.dumps(log, indent=2) + "\n")

    def decode(packed: PackedCaptions, encoded: torch.Tensor) -> torch.Tensor:
        with autocast(device):
            return model.text_decoder(
                input_ids=packed.input_ids,
                position_ids=packed.position_ids,
                attention_mask=packed.attention_mask,
                encoder_hidden_states=encoded,
                use_cache=False,
            ).logits

    def cross_entropy(chosen: list[list[list[int]]], encoded: torch.Tensor) -> torch.Tensor:
        packed = pack(chosen, bos, eos, pad, device)
        return F.cross_entropy(decode(packed, encoded).float().flatten(0, 1), packed.labels.flatten())

    def anchor_loss() -> torch.Tensor:
        """The loss on what the adapter must not unlearn."""
        extra = rng.choice(len(photos), PHOTOS, replace=False)
        chosen = [[photo_ids[i][rng.integers(len(photo_ids[i]))]] for i in extra]
        loss = PHOTO_WEIGHT * cross_entropy(chosen, named_pictures.pick(extra, rng))
        unsure = rng.choice(len(outliers.names), OUTLIERS, replace=False)
        chosen = [[token_ids[rng.integers(len(train))][rng.integers(5)]] for _ in unsure]
        return loss + OUTLIER_WEIGHT * cross_entropy(chosen, outliers.pick(unsure, rng))

    def step(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    if args.start_from:
        keep_if_better("start")

    # 128 captions are 32 pictures with four captions each.
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, weight_decay=0.01)
    steps = args.epochs * (len(train) // 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=max(1, steps), pct_start=0.05)
    for epoch in range(args.epochs):
        peft_model.train()
        losses = []
        order = rng.permutation(len(train))
        for start in range(0, len(order) - 31, 32):
            pick = order[start : start + 32]
            chosen = [[token_ids[i][c] for c in rng.permutation(5)[:4]] for i in pick]
            loss = cross_entropy(chosen, pictures.pick(pick, rng))
            step(optimizer, loss + anchor_loss())
            schedule.step()
            losses.append(loss.detach())
        print("epoch", epoch + 1, "loss", round(float(torch.stack(losses).mean()), 4), flush=True)
        if epoch + 1 in (args.epochs // 2, args.epochs):
            keep_if_better(f"epoch {epoch + 1}")

    if args.reward_minutes <= 0:
        return
    optimizer = torch.optim.AdamW(parameters, lr=args.reward_lr, weight_decay=0.0)
    began, next_evaluation, count = time.time(), 60 * args.evaluate_every, 0
    rewards = []
    while (used := time.time() - began) < 60 * args.reward_minutes:
        for group in optimizer.param_groups:
            group["lr"] = args.reward_lr * (0.1 + 0.9 * (1 - used / (60 * args.reward_minutes)))
        pick = rng.choice(len(train), args.reward_pictures, replace=False)
        encoded = pictures.pick(pick, rng)
        model.eval()
        with torch.no_grad(), autocast(device):
            sampled = model.text_decoder.generate(
                input_ids=torch.full((len(pick) * SAMPLES, 1), bos, device=device),
                encoder_hidden_states=encoded.repeat_interleave(SAMPLES, 0),
                do_sample=True,
                top_k=0,
                temperature=TEMPERATURE,
                max_new_tokens=22,
                eos_token_id=eos,
                pad_token_id=pad,
            )[:, 1:]
        texts = tokenizer.batch_decode(sampled, skip_special_tokens=True)
        gained = rewards_of([(int(pick[i // SAMPLES]), caption) for i, caption in enumerate(texts)])
        gained = gained.reshape(len(pick), SAMPLES)
        others = (gained.sum(1, keepdims=True) - gained) / (SAMPLES - 1)
        advantage = torch.from_numpy((gained - others).flatten()).float().to(device)
        # Divided by its own standard deviation: rewards are small, and the anchors would drown them.
        advantage /= advantage.std() + 1e-6
        rows = [[t for t in row if t not in (pad, eos)] for row in sampled.tolist()]
        packed = pack([rows[i : i + SAMPLES] for i in range(0, len(rows), SAMPLES)], bos, eos, pad, device)
        logits = decode(packed, encoded) / TEMPERATURE
        keep = packed.labels >= 0
        # One weight per token: that of the token's caption.
        weights = advantage.view(len(pick), SAMPLES).gather(1, packed.caption.clamp(min=0))[keep]
        loss = (F.cross_entropy(logits[keep].float(), packed.labels[keep], reduction="none") * weights).mean()
        step(optimizer, loss + anchor_loss())
        count += 1
        rewards.append(gained.mean())
        if count % 20 == 0:
            print("reward", count, round(float(np.mean(rewards[-20:])), 4), round(used / 60, 1), texts[0], flush=True)
        if used > next_evaluation:
            next_evaluation = used + 60 * args.evaluate_every
            keep_if_better(f"{count} rewarded steps")
    keep_if_better(f"{count} rewarded steps")


def save(model: PeftModel, folder: Path) -> None:
    """Saves the adapter in float16, as PEFT's own files, without this machine's paths in its configuration."""
    from safetensors.torch import load_file, save_file

    model.save_pretrained(folder)
    weights = folder / "adapter_model.safetensors"
    save_file({name: t.half() for name, t in load_file(weights).items()}, weights, metadata={"format": "pt"})
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = None
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "README.md").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
