"""Writes a BLIP of random weights in the exact published layout of blip-image-captioning-base or -large.

It is for measuring speed and for testing the graph at full size. The weights are large enough that captions differ.
"""

import argparse
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import BlipConfig, BlipForConditionalGeneration
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

VISION = {
    "base": dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12),
    "large": dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16),
}
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layout", choices=VISION, default="base")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32")
    parser.add_argument("--shard", help="largest file, e.g. 300MB")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--adapter-out", type=Path, help="also a LoRA adapter of the card's shape, saved by peft")
    args = parser.parse_args()
    torch.manual_seed(0)
    config = BlipConfig(
        vision_config=dict(image_size=384, initializer_range=0.05, **VISION[args.layout]),
        text_config=dict(num_attention_heads=12, initializer_range=0.05),
    )
    model = BlipForConditionalGeneration(config)
    model.to(DTYPES[args.dtype]).save_pretrained(args.out, **({"max_shard_size": args.shard} if args.shard else {}))
    BlipImageProcessorPil(size={"height": 384, "width": 384}).save_pretrained(args.out)
    words = [f"word{i}" for i in range(30522)]
    words[:1], words[100:104] = ["[PAD]"], ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (args.out / "vocab.txt").write_text("".join(f"{word}\n" for word in words))
    if args.adapter_out:
        adapted = get_peft_model(model.float(), LoraConfig(r=16, lora_alpha=32, target_modules=["query", "value"]))
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.05)
        adapted.save_pretrained(args.adapter_out)


if __name__ == "__main__":
    main()
