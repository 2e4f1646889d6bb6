"""Trains the embedded base model: a small `BlipForConditionalGeneration`, from scratch, on the Flickr8k train split.

Two losses at once: the captions (cross-entropy, label smoothing 0.1), and what a vision teacher sees in the same crop
(`teacher_views.py`). The learning rate follows the time used, so `--minutes` is the whole plan, and a run that was
stopped goes on from its checkpoint. Each evaluation writes the averaged weights in Hugging Face's format when they are
the best so far on dev.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from transformers import BertTokenizerFast, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor

from captions import MAX_CAPTION_TOKENS, LabelledImage, pack, read_captions, write_vocabulary
from precision import autocast
from score import score

IMAGE_SIZE = 128
MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)


def blip_config(vocabulary_size: int, args: argparse.Namespace) -> BlipConfig:
    """BLIP's published layout in small: [DEC], the first token of a caption, comes after the vocabulary."""
    return BlipConfig(
        vision_config=dict(
            hidden_size=args.hidden,
            intermediate_size=4 * args.hidden,
            num_hidden_layers=args.vision_layers,
            num_attention_heads=args.hidden // 64,
            image_size=IMAGE_SIZE,
            patch_size=16,
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
            attention_probs_dropout_prob=0.0,
        ),
    )


class TeacherHead(nn.Module):
    """Predicts the teacher's patch features and its class logits from the encoder; thrown away after training."""

    def __init__(self, hidden: int, grid_size: int, classes: int):
        super().__init__()
        self.grid = nn.Linear(hidden, grid_size)
        self.classes = nn.Linear(hidden, classes)

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[batch, 65, hidden] to [batch, 64, grid_size] and [batch, classes]."""
        return self.grid(hidden_states[:, 1:]), self.classes(hidden_states.mean(1))


class Views:
    """The passes of `teacher_views.py` that exist by now."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.passes: dict[str, dict[str, np.ndarray]] = {}
        basis = np.load(folder / "basis.npz")
        self.grid_size = basis["vectors"].shape[1]
        self.fc_weight = torch.from_numpy(basis["fc_weight"])
        self.fc_bias = torch.from_numpy(basis["fc_bias"])

    def pick(self, number: int) -> dict[str, np.ndarray]:
        for path in sorted(self.folder.glob("pass-*")):
            if path.name not in self.passes:
                keys = ("pixels", "grid", "pooled")
                self.passes[path.name] = {k: np.load(path / f"{k}.npy", mmap_mode="r") for k in keys}
        names = sorted(self.passes)
        return self.passes[names[number % len(names)]]


def jitter(pixels: torch.Tensor) -> torch.Tensor:
    """Brightness, contrast and colour of each picture changed a little; pixels 0..1, [batch, 3, h, w]."""
    n = pixels.shape[0]
    brightness = torch.empty(n, 1, 1, 1).uniform_(0.75, 1.25)
    contrast = torch.empty(n, 1, 1, 1).uniform_(0.75, 1.25)
    colour = torch.empty(n, 3, 1, 1).uniform_(0.93, 1.07)
    mean = pixels.mean((1, 2, 3), keepdim=True)
    return ((pixels - mean) * contrast + mean * brightness).mul(colour).clamp(0, 1)


@torch.no_grad()
def greedy(model: BlipForConditionalGeneration, pixels: torch.Tensor, max_tokens: int = 25) -> torch.Tensor:
    """Token ids [batch, <= max_tokens] by transformers' own generate."""
    return model.generate(pixel_values=pixels, max_new_tokens=max_tokens, do_sample=False, num_beams=1)


@torch.no_grad()
def evaluate(model, tokenizer, pixels: torch.Tensor, images: list[LabelledImage]) -> tuple[dict, dict[str, str]]:
    model.eval()
    captions = {}
    for start in range(0, len(images), 100):
        ids = greedy(model, pixels[start : start + 100])
        for image, text in zip(images[start:], tokenizer.batch_decode(ids, skip_special_tokens=True), strict=False):
            captions[image.name] = text
    model.train()
    return score(captions, {i.name: i.captions for i in images}), captions


def load_pixels(folder: Path, images: list[LabelledImage]) -> torch.Tensor:
    """[n, 3, size, size] float32, resized and normalized as BlipImageProcessor does."""
    pictures = [Image.open(folder / i.name).convert("RGB") for i in images]
    resized = [np.asarray(p.resize((IMAGE_SIZE, IMAGE_SIZE), Image.BICUBIC)) for p in pictures]
    pixels = torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255
    return (pixels - MEAN) / STD


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--views", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint and best model")
    parser.add_argument("--start-from", type=Path, help="a model folder to go on from, e.g. models/flickr8k-small/base")
    parser.add_argument("--minutes", type=float, default=100)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--vision-layers", type=int, default=6)
    parser.add_argument("--text-layers", type=int, default=4)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--vocabulary", type=int, default=3000)
    parser.add_argument("--evaluate-every", type=float, default=10, help="minutes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, help="stop after so many steps, to measure speed")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    rng = np.random.default_rng(int(time.time()))
    args.out.mkdir(parents=True, exist_ok=True)

    train = read_captions(args.captions, "train")
    dev = read_captions(args.captions, "dev")
    vocabulary = args.out / "vocab.txt"
    if args.start_from:
        vocabulary.write_bytes((args.start_from / "vocab.txt").read_bytes())
    elif not vocabulary.exists():
        write_vocabulary(train, args.vocabulary, vocabulary)
    tokenizer = BertTokenizerFast(vocab_file=str(vocabulary), vocab=str(vocabulary), do_lower_case=True)
    token_ids = [
        [ids[:MAX_CAPTION_TOKENS] for ids in tokenizer(i.captions, add_special_tokens=False)["input_ids"]]
        for i in train
    ]
    dev_pixels = load_pixels(args.images, dev)
    views = Views(args.views)

    if args.start_from:
        model = BlipForConditionalGeneration.from_pretrained(
            args.start_from, dtype=torch.float32, text_config={"hidden_dropout_prob": args.dropout}
        )
    else:
        model = BlipForConditionalGeneration(blip_config(len(tokenizer), args))
    text = model.config.text_config
    bos, eos, pad = text.bos_token_id, text.sep_token_id, text.pad_token_id
    head = TeacherHead(model.config.vision_config.hidden_size, views.grid_size, views.fc_bias.shape[0])
    both = nn.ModuleList([model, head])
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998))
    decay = [p for p in both.parameters() if p.ndim >= 2]
    rest = [p for p in both.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}],
        lr=args.lr,
        betas=(0.9, 0.98),
        fused=True,
    )
    print("parameters", sum(p.numel() for p in model.parameters()), flush=True)

    checkpoint = args.out / "checkpoint.pt"
    step, epoch, used, best = 0, 0, 0.0, -1.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=False)
        both.load_state_dict(state["both"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, epoch, used, best = state["step"], state["epoch"], state["used"], state["best"]

    log = (args.out / "log.jsonl").open("a")
    clock = time.time()
    next_evaluation = used + 60 * args.evaluate_every
    running = []
    model.train()
    total = 60 * args.minutes
    while used < total:
        view = views.pick(epoch)
        order = rng.permutation(len(train))
        for start in range(0, len(order) - args.batch + 1, args.batch):
            share = used / total
            rate = args.lr * min(1.0, (step + 1) / 300) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1, share))))
            for group in optimizer.param_groups:
                group["lr"] = rate
            # The language is learnt long before the vision: most steps spend their time on the encoder.
            per_image = 1 if share < 0.8 else 4
            pick = np.sort(order[start : start + args.batch])
            chosen = [[token_ids[i][c] for c in rng.permutation(5)[:per_image]] for i in pick]
            packed = pack(chosen, bos, eos, pad)
            pixels = torch.from_numpy(view["pixels"][pick]).permute(0, 3, 1, 2).float() / 255
            pixels = ((jitter(pixels) - MEAN) / STD).contiguous()
            grid = torch.from_numpy(view["grid"][pick]).float()
            with torch.no_grad():
                pooled = torch.from_numpy(view["pooled"][pick]).float()
                classes = F.log_softmax((pooled @ views.fc_weight.T + views.fc_bias) / 2, 1)
            with autocast():
                states = model.vision_model(pixel_values=pixels).last_hidden_state
                logits = model.text_decoder(
                    input_ids=packed.input_ids,
                    position_ids=packed.position_ids,
                    attention_mask=packed.attention_mask,
                    encoder_hidden_states=states,
                    use_cache=False,
                ).logits
                grid_guess, class_guess = head(states)
            keep = packed.labels >= 0
            caption_loss = F.cross_entropy(logits[keep].float(), packed.labels[keep], label_smoothing=0.1)
            grid_loss = F.mse_loss(grid_guess.float(), grid)
            class_loss = F.kl_div(F.log_softmax(class_guess.float() / 2, 1), classes, log_target=True, reduction="batchmean")
            # Softened targets have gradients a temperature squared too small. Hinton et al. 2015, arXiv:1503.02531.
            loss = caption_loss + grid_loss + 4 * class_loss
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(both.parameters(), 1.0)
            optimizer.step()
            average.update_parameters(model)
            step += 1
            running.append((caption_loss.item(), grid_loss.item(), class_loss.item()))
            now = time.time()
            used, clock = used + now - clock, now
            if step % 50 == 0:
                means = np.mean(running, 0).round(4).tolist()
                running = []
                print(json.dumps({"step": step, "epoch": epoch, "minutes": round(used / 60, 1), "losses": means}), flush=True)
            if args.steps and step >= args.steps:
                print("seconds a step", used / step)
                return
            if used >= next_evaluation or used >= total:
                next_evaluation = used + 60 * args.evaluate_every
                state = dict(
                    both=both.state_dict(), average=average.state_dict(), optimizer=optimizer.state_dict(),
                    step=step, epoch=epoch, used=used, best=best,
                )  # fmt: skip
                scores, captions = evaluate(average.module, tokenizer, dev_pixels, dev)
                line = {"step": step, "epoch": epoch, "minutes": round(used / 60, 1), **{k: round(v, 4) for k, v in scores.items()}}
                print(json.dumps(line), list(captions.values())[:3], flush=True)
                log.write(json.dumps(line) + "\n")
                log.flush()
                if scores["CIDEr-D"] > best:
                    best = state["best"] = scores["CIDEr-D"]
                    save(average.module, vocabulary, args.out / "best")
                torch.save(state, args.out / "partial.pt")
                (args.out / "partial.pt").rename(checkpoint)
                clock = time.time()
            if used >= total:
                break
        epoch += 1


def save(model: BlipForConditionalGeneration, vocabulary: Path, folder: Path) -> None:
    """Writes the model in float16 with everything a Hugging Face user expects beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = BlipForConditionalGeneration(model.config)
    copy.load_state_dict(model.state_dict())
    copy.config.text_config.hidden_dropout_prob = 0.0
    copy.half().save_pretrained(folder)
    BlipImageProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}).save_pretrained(folder)
    (folder / "vocab.txt").write_bytes(vocabulary.read_bytes())
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": 64}, indent=2) + "\n"
    )


if __name__ == "__main__":
    main()
