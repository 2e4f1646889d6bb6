"""Writes test/fixtures/tiny-hybrid: a tiny random BLIP behind a tiny random stem, and what PyTorch computes on it.

The stem is the package's own backbone with every kind of block that EfficientNet-Lite2 has: kernels of 3 and 5, strides of 1
and 2, with and without expansion, with and without a residual connection.
"""

import json
import shutil
from pathlib import Path

import torch
from efficientnet_lite_pytorch import EfficientNet
from efficientnet_lite_pytorch.utils import BlockArgs, GlobalParams
from safetensors.torch import save_file
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from blip import MEAN, SIZE, STD, VOCABULARY, expectations, randomize, tiny_blip
from stem import hybrid_blip, stem_config, stored_weights

FOLDER = Path(__file__).parent.parent / "test/fixtures/tiny-hybrid"


def tiny_stem() -> EfficientNet:
    def stage(repeats: int, kernel: int, stride: int, expand: int, channels: tuple[int, int]) -> BlockArgs:
        return BlockArgs(repeats, kernel, stride, expand, *channels, None, True)

    stem = EfficientNet(
        [stage(1, 3, 1, 1, (32, 64)), stage(2, 5, 2, 2, (64, 96)), stage(2, 3, 2, 2, (96, 128)), stage(1, 5, 1, 2, (128, 160))],
        GlobalParams(
            width_coefficient=0.25, depth_coefficient=1.0, image_size=SIZE, batch_norm_momentum=0.99, batch_norm_epsilon=1e-3,
            dropout_rate=0.0, num_classes=1, depth_divisor=8, relu_fn="relu6", fix_head_stem=False, drop_connect_rate=0.0,
        ),
    )  # fmt: skip
    del stem._fc
    generator = torch.Generator().manual_seed(4)
    for name, buffer in stem.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.3)
        elif name.endswith("running_var"):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return stem.eval()


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    base = FOLDER / "base"
    config = tiny_blip().config
    model = hybrid_blip(config, tiny_stem()).eval()
    # A seed that gives every picture different tokens.
    randomize(model, 34)
    stem = model.vision_model.embeddings.patch_embedding.stem
    generator = torch.Generator().manual_seed(8)
    for name, parameter in stem.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 1:
            # Gains and shifts for which ReLU6 cuts off on both sides.
            parameter.data.copy_(1 + 0.5 * noise if name.endswith("weight") else 1.5 + 1.5 * noise)
        else:
            parameter.data.copy_(noise / parameter[0].numel() ** 0.5)
    model.tie_weights()

    config.vision_config.stem = stem_config(stem)
    config.save_pretrained(base)
    save_file({n: t.clone() for n, t in stored_weights(model).items()}, base / "model.safetensors", metadata={"format": "pt"})
    BlipImageProcessorPil(size={"height": SIZE, "width": SIZE}).save_pretrained(base)
    (base / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCABULARY))

    generator = torch.Generator().manual_seed(6)
    noise = lambda size: torch.randint(0, 256, (4, 3, size, size), generator=generator, dtype=torch.uint8)
    own, larger = noise(SIZE), noise(2 * SIZE)[:2]
    report = {"base": expectations(model, own), "larger": expectations(model, larger)}
    with torch.no_grad():
        feature_map = stem.extract_features((own.float() / 255 - MEAN) / STD)
    report["stem"] = {
        "shape": list(feature_map.shape),
        # Every 8th value: enough to notice any error.
        "every_8th": [round(v, 6) for v in feature_map.flatten()[::8].tolist()],
        "share_at_zero": (feature_map == 0).float().mean().item(),
        "share_at_six": (feature_map == 6).float().mean().item(),
    }
    print({k: v for k, v in report["stem"].items() if k != "every_8th"}, report["base"]["token_ids"])
    (FOLDER / "reference.json").write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
