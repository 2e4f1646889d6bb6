"""Writes a BLIP of random weights in the exact published layout of blip-image-captioning-base, for measuring speed."""

import argparse
from pathlib import Path

import torch
from transformers import BlipConfig, BlipForConditionalGeneration
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=384)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.manual_seed(0)
    config = BlipConfig(
        vision_config=dict(image_size=args.image_size, initializer_range=0.02),
        text_config=dict(num_attention_heads=12, eos_token_id=2),
    )
    BlipForConditionalGeneration(config).save_pretrained(args.out)
    BlipImageProcessorPil(size={"height": args.image_size, "width": args.image_size}).save_pretrained(args.out)
    (args.out / "vocab.txt").write_text("".join(f"[unused{i}]\n" for i in range(30522)))


if __name__ == "__main__":
    main()
