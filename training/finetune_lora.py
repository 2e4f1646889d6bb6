"""Fine-tunes a LoRA adapter on any BLIP captioner with the card's recipe; its defaults are the card's hyper-parameters.

The defaults are r 16, alpha 32, dropout 0.05 on `query` and `value`; AdamW 5e-5, batch 128, 5 epochs, bfloat16,
224x224; and 80/10/10 by seed if captions.jsonl names no splits. To resume a run, repeat the same command. Writes
the adapter (PEFT's own files), loss.csv, loss.svg and samples.html: held-out pictures with their captions before,
after, and by people.
"""

import argparse
import csv
import hashlib
import html
import io
import json
import random
import time
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, load_peft_weights, set_peft_model_state_dict
from PIL import Image, ImageCms, ImageOps
from transformers import BertTokenizerFast, BlipConfig, BlipForConditionalGeneration
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from captions import LabelledImage, clean, read_rows

SAMPLES = 24
SRGB = ImageCms.createProfile("sRGB")
# Settings that must stay the same when a run resumes, because batches, optimizer and adapter depend on them.
FIXED = ("base", "captions", "image_size", "batch", "lr", "rank", "alpha", "dropout", "seed")


def read_images(path: Path) -> list[LabelledImage]:
    """Reads each picture once, as `npm run eval` does: lines for the same picture, each with captions, become one."""
    images: dict[str, LabelledImage] = {}
    for row in read_rows(path):
        name, captions = row.get("image"), row.get("captions")
        # In a string, each letter would count as a caption.
        if not (name and isinstance(captions, list) and captions and all(isinstance(c, str) for c in captions)):
            raise SystemExit(f'{path}: expected {{"image": "NAME.jpg", "captions": ["...", ...]}}, got {json.dumps(row)[:200]}')
        image = images.setdefault(name, LabelledImage(name, row.get("split") or "", []))
        image.captions.extend(filter(None, map(clean, captions)))
    without = next((name for name, image in images.items() if not image.captions), None)
    if without is not None:
        raise SystemExit(f"{path}: the captions of {without} have no words")
    return list(images.values())


def read_split(path: Path, seed: int) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Training and held-out pictures: by the file's own splits, else 80/10/10 by seed (the last tenth stays unseen)."""
    images = read_images(path)
    if any(i.split for i in images):
        return [i for i in images if i.split == "train"], [i for i in images if i.split in ("dev", "val", "validation")]
    random.Random(seed).shuffle(images)
    train_end, dev_end = round(0.8 * len(images)), round(0.9 * len(images))
    return images[:train_end], images[train_end:dev_end]


def in_srgb(picture: Image.Image) -> Image.Image:
    """Converts to sRGB by the picture's profile, such as a telephone's Display P3; unchanged without a usable profile."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("L", "RGB", "RGBA", "CMYK"):
        return picture
    mode = "RGBA" if picture.mode == "RGBA" else "RGB"
    try:
        return ImageCms.profileToProfile(picture, io.BytesIO(profile), SRGB, outputMode=mode)
    except ImageCms.PyCMSError:
        return picture


def open_picture(path: Path) -> Image.Image:
    """The picture as RGB like in the server: turned by its EXIF orientation, in sRGB, on white."""
    try:
        picture = ImageOps.exif_transpose(Image.open(path))
        if picture.mode.startswith("I;16"):
            # Pillow's own conversion would make everything above 255 of 65,535 white.
            picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
        if picture.mode in ("I", "F"):
            raise SystemExit(f"{path} has pixels of 32 bits, which the server refuses as well: convert it to JPEG or PNG")
        picture = in_srgb(picture.convert("RGBA") if picture.mode == "P" else picture)
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
        return picture.convert("RGB")
    except OSError as error:
        # Pillow does not say which file ends early.
        raise SystemExit(f"{path} cannot be read: {error}") from error


def loss_chart(losses: list[tuple[int, float]]) -> str:
    """A small SVG of the loss over the steps."""
    if len(losses) < 2:
        return ""
    low, high = min(v for _, v in losses), max(v for _, v in losses)
    points = " ".join(
        f"{10 + 580 * i / (len(losses) - 1):.1f},{10 + 180 * (high - v) / max(high - low, 1e-9):.1f}"
        for i, (_, v) in enumerate(losses)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 600 220" width="600" height="220">'
        f'<polyline points="{points}" fill="none" stroke="#2266aa" stroke-width="1.5"/>'
        f'<text x="10" y="214" font-size="12">loss {high:.3f} to {low:.3f}, steps 1 to {losses[-1][0]}</text></svg>\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", required=True, help="repository id or folder")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--captions", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--micro-batch", type=int, default=128, help="pictures at once; gradients add up to --batch")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--alpha", type=int, default=32)
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--checkpoint-every", type=int, default=50, help="steps")
    parser.add_argument("--max-steps", type=int, help="end early, to measure")
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(args.seed)

    train, held_out = read_split(args.captions, args.seed)
    if not train:
        parser.error(f"{args.captions} has no picture to train on: where it names splits, those of the split 'train' are")
    missing = [image.name for image in train + held_out if not (args.images / image.name).is_file()]
    if missing:
        parser.error(f"{args.images} lacks {len(missing)} of the pictures, such as {missing[0]}")
    vision = BlipConfig.from_pretrained(args.base).vision_config
    if hasattr(vision, "stem"):
        parser.error(f"{args.base} is a hybrid, which transformers has not: train_adapter.py makes adapters of those")
    if args.image_size % vision.patch_size:
        parser.error(f"--image-size {args.image_size} is not a multiple of the model's patch size, {vision.patch_size}")
    args.out.mkdir(parents=True, exist_ok=True)
    # A pair is one picture with one of its captions; the card counts its epochs in pairs.
    pairs = [(image.name, caption) for image in train for caption in image.captions]
    processor = BlipImageProcessorPil.from_pretrained(
        args.base, size={"height": args.image_size, "width": args.image_size}
    )
    tokenizer = BertTokenizerFast.from_pretrained(args.base)
    model = BlipForConditionalGeneration.from_pretrained(args.base, dtype=torch.float32)
    interpolate = args.image_size != vision.image_size
    text = model.config.text_config

    def pixels_of(names: list[str]) -> torch.Tensor:
        pictures = [open_picture(args.images / name) for name in names]
        return processor(pictures, return_tensors="pt")["pixel_values"].to(device)

    @torch.no_grad()
    def captions_of(network, images: list[LabelledImage]) -> list[str]:
        network.eval()
        texts: list[str] = []
        for start in range(0, len(images), 8):
            pixels = pixels_of([i.name for i in images[start : start + 8]])
            ids = network.generate(
                pixel_values=pixels, max_new_tokens=30, do_sample=False, interpolate_pos_encoding=interpolate
            )
            texts += tokenizer.batch_decode(ids, skip_special_tokens=True)
        return texts

    model.to(device)
    samples = held_out[:: max(1, len(held_out) // SAMPLES)][:SAMPLES]
    before = captions_of(model, samples)
    adapter, state_path = args.out / "adapter", args.out / "state.pt"
    settings = {name: str(getattr(args, name)) for name in FIXED}
    captions_hash = hashlib.sha256(args.captions.read_bytes()).hexdigest()
    step, losses = 0, []
    if state_path.exists():
        state = torch.load(state_path, weights_only=True)
        changed = [name for name in FIXED if state["settings"][name] != settings[name]]
        if changed:
            options = ", ".join(f"--{name.replace('_', '-')} {state['settings'][name]}" for name in changed)
            parser.error(f"{args.out} was begun with {options}; go on with that, or take another --out")
        if state.get("captions_hash", captions_hash) != captions_hash:
            parser.error(f"{args.captions} is not what it was when {args.out} was begun; take another --out")
        step, losses = state["step"], state["losses"]
    peft_model = get_peft_model(
        model,
        LoraConfig(r=args.rank, lora_alpha=args.alpha, lora_dropout=args.dropout, target_modules=["query", "value"]),
    )
    parameters = [p for p in peft_model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=args.lr)
    if step:
        # Earlier versions of this script kept the adapter only in its own file.
        weights = state["adapter"] if "adapter" in state else load_peft_weights(str(adapter), device)
        set_peft_model_state_dict(peft_model, weights)
        optimizer.load_state_dict(state["optimizer"])

    steps_an_epoch = max(1, len(pairs) // args.batch)
    total = args.epochs * steps_an_epoch
    last = min(total, args.max_steps or total)

    def checkpoint() -> None:
        # Everything that a run needs to resume, in one file that is always complete; the adapter's own may be cut off.
        state = {"step": step, "losses": losses, "optimizer": optimizer.state_dict()}
        state |= {"adapter": get_peft_model_state_dict(peft_model), "settings": settings, "captions_hash": captions_hash}
        torch.save(state, args.out / "state.partial")
        (args.out / "state.partial").rename(state_path)
        peft_model.save_pretrained(adapter)

    began, first = time.time(), step
    while step < last:
        epoch, within = divmod(step, steps_an_epoch)
        order = random.Random(args.seed + epoch).sample(range(len(pairs)), len(pairs))
        chosen = [pairs[i] for i in order[within * args.batch : (within + 1) * args.batch]]
        peft_model.train()
        optimizer.zero_grad(set_to_none=True)
        total_loss = 0.0
        for start in range(0, len(chosen), args.micro_batch):
            part = chosen[start : start + args.micro_batch]
            tokens = tokenizer([c for _, c in part], padding=True, return_tensors="pt", truncation=True, max_length=40)
            ids = tokens["input_ids"].to(device)
            ids[:, 0] = text.bos_token_id
            labels = ids.masked_fill(tokens["attention_mask"].to(device) == 0, -100)
            with torch.autocast(device, torch.bfloat16):
                states = model.vision_model(
                    pixel_values=pixels_of([n for n, _ in part]), interpolate_pos_encoding=interpolate
                ).last_hidden_state
                loss = model.text_decoder(
                    input_ids=ids,
                    attention_mask=tokens["attention_mask"].to(device),
                    encoder_hidden_states=states,
                    labels=labels,
                ).loss
            weight = len(part) / len(chosen)
            (loss * weight).backward()
            total_loss += loss.item() * weight
        optimizer.step()
        step += 1
        losses.append((step, total_loss))
        rate = (step - first) / (time.time() - began)
        print(f"step {step}/{total} loss {total_loss:.4f}, {rate * args.batch:.1f} pairs/s", flush=True)
        if step % args.checkpoint_every == 0:
            checkpoint()
    checkpoint()

    after = captions_of(peft_model, samples)
    with (args.out / "loss.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("step", "loss"), *losses])
    (args.out / "loss.svg").write_text(loss_chart(losses))
    rows = "".join(
        f'<tr><td><img src="{html.escape((args.images / image.name).resolve().as_uri())}" width="224" alt=""></td>'
        f"<td><b>base</b> {html.escape(old)}<br><b>adapter</b> {html.escape(new)}<br><small>"
        + "<br>".join(html.escape(c) for c in image.captions)
        + "</small></td></tr>"
        for image, old, new in zip(samples, before, after, strict=True)
    )
    (args.out / "samples.html").write_text(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Samples</title>{loss_chart(losses)}<table>{rows}</table></html>\n"
    )
    print(f"{time.time() - began:.0f} s for {step - first} steps; adapter in {adapter}")


if __name__ == "__main__":
    main()
