"""Writes test/fixtures/embedded: what transformers and peft make of the sample photographs with the embedded model."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import BertTokenizerFast

from models import normalization, open_blip

ROOT = Path(__file__).parent.parent
MODEL = ROOT / "models/hybrid-small"
FOLDER = ROOT / "test/fixtures/embedded"
PHOTOGRAPHS = ["astronaut.jpg", "cat.jpg", "rocket.jpg"]


@torch.no_grad()
def main() -> None:
    model = open_blip(MODEL / "base", MODEL / "lora")
    mean, std = normalization(MODEL / "base")
    vocabulary = str(MODEL / "base/vocab.txt")
    tokenizer = BertTokenizerFast(vocab_file=vocabulary, vocab=vocabulary, do_lower_case=True)
    size = model.config.vision_config.image_size
    pictures = [Image.open(ROOT / "examples" / name).convert("RGB").resize((size, size), Image.BICUBIC) for name in PHOTOGRAPHS]
    pixels = np.ascontiguousarray(np.stack([np.asarray(p) for p in pictures]).transpose(0, 3, 1, 2))
    values = (torch.from_numpy(pixels).float() / 255 - mean) / std
    states = model.vision_model(pixel_values=values).last_hidden_state
    head = load_file(MODEL / "base/picture_head.safetensors")
    scores = states.mean(1) @ head["picture_head.weight"][0] + head["picture_head.bias"]
    bos = torch.full((len(pixels), 1), model.config.text_config.bos_token_id)
    logits = model.text_decoder(input_ids=bos, encoder_hidden_states=states).logits[:, 0]
    ids = model.generate(pixel_values=values, max_new_tokens=30, do_sample=False, num_beams=1)[:, 1:]

    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "pixels.bin").write_bytes(pixels.tobytes())
    report = {
        "photographs": PHOTOGRAPHS,
        "shape": list(pixels.shape),
        "token_ids": ids.tolist(),
        "captions": tokenizer.batch_decode(ids, skip_special_tokens=True),
        "first_logits": [round(v, 5) for v in logits.flatten().tolist()],
        "picture_scores": [round(v, 5) for v in scores.tolist()],
        # Every 16th value: enough to notice any error, at a sixteenth of the size.
        "encoder_every_16th": [round(v, 5) for v in states.flatten()[::16].tolist()],
    }
    (FOLDER / "reference.json").write_text(json.dumps(report) + "\n")
    print(report["captions"])


if __name__ == "__main__":
    main()
