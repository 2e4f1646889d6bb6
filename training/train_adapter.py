"""Fine-tunes a PEFT LoRA adapter on the embedded base: r 16, alpha 32, dropout 0.05, on `query` and `value`.

First the card's recipe (cross-entropy, AdamW, batch 128 captions, 5 epochs, bfloat16), on whole pictures where the base
saw crops, at a learning rate that suits a model this small. Then, for `--reward-minutes`, self-critical training
(Rennie et al. 2017, arXiv:1612.00563): sampled captions are pushed up or down by their CIDEr-D against the mean of the
other samples of the same picture. The encoder has no such layers, so its output is computed once a picture.
"""

import argparse
import json
import math
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.nn import functional as F
from transformers import BertTokenizerFast, BlipForConditionalGeneration

from captions import MAX_CAPTION_TOKENS, LabelledImage, pack, read_captions
from precision import autocast
from score import normalize
from train_base import evaluate, load_pixels

SAMPLES = 5
# An adapter is judged by all three scores, each beside the least that is wanted of the embedded model.
FLOOR = {"BLEU-4": 0.12, "ROUGE-L": 0.38, "CIDEr-D": 0.25}


@torch.no_grad()
def encode(model: BlipForConditionalGeneration, pixels: torch.Tensor) -> torch.Tensor:
    """[n, 65, hidden] bfloat16 of normalized pixels [n, 3, size, size]."""
    parts = []
    for start in range(0, len(pixels), 200):
        with autocast():
            states = model.vision_model(pixel_values=pixels[start : start + 200]).last_hidden_state
        parts.append(states.to(torch.bfloat16))
    return torch.cat(parts)


class CiderReward:
    """CIDEr-D of any caption of a train picture, document frequencies from the train references."""

    def __init__(self, images: list[LabelledImage]):
        grams = [[self.counts(c) for c in i.captions] for i in images]
        self.frequency = Counter(g for refs in grams for g in {g for ref in refs for g in ref})
        self.log_size = math.log(len(images))
        self.references = [[self.weigh(ref) for ref in refs] for refs in grams]

    @staticmethod
    def counts(caption: str) -> Counter:
        # The end counts as a word, or captions that stop at "on a" would be rewarded.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start-from", type=Path, help="an adapter to go on from, in place of a new one")
    parser.add_argument("--epochs", type=int, default=5, help="of cross-entropy; 0 leaves that phase out")
    parser.add_argument("--lr", type=float, default=5e-4, help="the card's 5e-5 moves a model this small too little")
    parser.add_argument("--reward-minutes", type=float, default=0)
    parser.add_argument("--reward-lr", type=float, default=2e-4)
    args = parser.parse_args()
    torch.manual_seed(0)
    rng = np.random.default_rng(0)

    train = read_captions(args.captions, "train")
    dev = read_captions(args.captions, "dev")
    vocabulary = str(args.base / "vocab.txt")
    tokenizer = BertTokenizerFast(vocab_file=vocabulary, vocab=vocabulary, do_lower_case=True)
    token_ids = [
        [ids[:MAX_CAPTION_TOKENS] for ids in tokenizer(i.captions, add_special_tokens=False)["input_ids"]]
        for i in train
    ]
    model = BlipForConditionalGeneration.from_pretrained(args.base, dtype=torch.float32)
    text = model.config.text_config
    bos, eos, pad = text.bos_token_id, text.sep_token_id, text.pad_token_id
    dev_pixels = load_pixels(args.images, dev)
    scores, before = evaluate(model, tokenizer, dev_pixels, dev)
    print("base", json.dumps({k: round(v, 4) for k, v in scores.items()}), flush=True)
    log = {"base": scores}

    states = []
    for mirrored in (False, True):
        for start in range(0, len(train), 1000):
            pixels = load_pixels(args.images, train[start : start + 1000])
            states.append(encode(model.eval(), pixels.flip(3) if mirrored else pixels))
    states = torch.cat(states).unflatten(0, (2, len(train)))

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
        scores, captions = evaluate(model, tokenizer, dev_pixels, dev)
        changed = sum(captions[name] != before[name] for name in before)
        print(label, json.dumps({k: round(v, 4) for k, v in scores.items()}), "changed", changed, flush=True)
        quality = sum(scores[name] / least for name, least in FLOOR.items()) / len(FLOOR)
        if quality > best:
            best = quality
            save(peft_model, args.out)
            log["adapter"] = {**scores, "changed": changed, "after": label}
            (args.out.parent / "scores.json").write_text(json.dumps(log, indent=2) + "\n")

    def decode(packed, encoded: torch.Tensor) -> torch.Tensor:
        with autocast():
            return model.text_decoder(
                input_ids=packed.input_ids,
                position_ids=packed.position_ids,
                attention_mask=packed.attention_mask,
                encoder_hidden_states=encoded,
                use_cache=False,
            ).logits

    if args.start_from:
        keep_if_better("start")

    # 128 captions are 32 pictures with four of their captions each.
    optimizer = torch.optim.AdamW(parameters, lr=args.lr, weight_decay=0.01)
    steps = args.epochs * (len(train) // 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=max(1, steps), pct_start=0.05)
    for epoch in range(args.epochs):
        peft_model.train()
        losses = []
        order = rng.permutation(len(train))
        for start in range(0, len(order) - 31, 32):
            pick = order[start : start + 32]
            packed = pack([[token_ids[i][c] for c in rng.permutation(5)[:4]] for i in pick], bos, eos, pad)
            logits = decode(packed, states[int(rng.integers(2)), pick].float())
            keep = packed.labels >= 0
            loss = F.cross_entropy(logits[keep].float(), packed.labels[keep])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print("epoch", epoch + 1, "loss", round(float(np.mean(losses)), 4), flush=True)
        if epoch + 1 in (args.epochs // 2, args.epochs):
            keep_if_better(f"epoch {epoch + 1}")

    if args.reward_minutes <= 0:
        return
    reward = CiderReward(train)
    optimizer = torch.optim.AdamW(parameters, lr=args.reward_lr, weight_decay=0.0)
    began, next_evaluation, step = time.time(), 4 * 60, 0
    rewards = []
    while (used := time.time() - began) < 60 * args.reward_minutes:
        for group in optimizer.param_groups:
            group["lr"] = args.reward_lr * (0.1 + 0.9 * (1 - used / (60 * args.reward_minutes)))
        pick = rng.choice(len(train), 32, replace=False)
        encoded = states[int(rng.integers(2)), pick].float()
        model.eval()
        with torch.no_grad(), autocast():
            sampled = model.text_decoder.generate(
                input_ids=torch.full((len(pick) * SAMPLES, 1), bos),
                encoder_hidden_states=encoded.repeat_interleave(SAMPLES, 0),
                do_sample=True,
                top_k=0,
                max_new_tokens=22,
                eos_token_id=eos,
                pad_token_id=pad,
            )[:, 1:]
        texts = tokenizer.batch_decode(sampled, skip_special_tokens=True)
        gained = np.array([reward(int(pick[i // SAMPLES]), caption) for i, caption in enumerate(texts)])
        gained = gained.reshape(len(pick), SAMPLES)
        others = (gained.sum(1, keepdims=True) - gained) / (SAMPLES - 1)
        advantage = torch.from_numpy((gained - others).flatten()).float()
        rows = [[t for t in row if t not in (pad, eos)] for row in sampled.tolist()]
        packed = pack([rows[i : i + SAMPLES] for i in range(0, len(rows), SAMPLES)], bos, eos, pad)
        logits = decode(packed, encoded)
        # One weight a token: that of the caption it belongs to, captions told apart by where positions restart.
        keep = packed.labels >= 0
        caption_of = (packed.position_ids == 0).logical_and(keep).long().cumsum(1) - 1
        weights = advantage.view(len(pick), SAMPLES).gather(1, caption_of.clamp(0, SAMPLES - 1))[keep]
        loss = (F.cross_entropy(logits[keep].float(), packed.labels[keep], reduction="none") * weights).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        rewards.append(gained.mean())
        if step % 20 == 0:
            print("reward", step, round(float(np.mean(rewards[-20:])), 4), round(used / 60, 1), texts[0], flush=True)
        if used > next_evaluation:
            next_evaluation = used + 4 * 60
            keep_if_better(f"{step} rewarded steps")
    keep_if_better(f"{step} rewarded steps")


def save(model: PeftModel, folder: Path) -> None:
    """The adapter in float16, in PEFT's own files, with no path of this machine in its configuration."""
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
