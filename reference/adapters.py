"""Writes test/fixtures/adapters: PEFT adapters of many kinds for the tiny BLIP, and what peft computes with each unmerged.

An adapter that peft itself cannot express as merged weights is written too, for the test that it is refused by
name.
Run from the repository root after reference/blip.py: python reference/adapters.py [--only NAME ...] [--out DIR]
"""

import argparse
import json
import shutil
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import BlipForConditionalGeneration

from blip import FOLDER, MEAN, SIZE, STD

BASE = FOLDER / "base"
OUT = FOLDER.parent / "adapters"
LAYER = "text_decoder.bert.encoder.layer"

# Name, base, and options of LoraConfig.
VARIANTS: list[tuple[str, str, dict]] = [
    ("convolution", "tied", dict(target_modules=["patch_embedding", "query"])),
    ("word-embedding", "tied", dict(target_modules=["word_embeddings", "query"])),
    ("output-layer", "tied", dict(target_modules=["decoder", "query"])),
    ("all-linear", "tied", dict(target_modules="all-linear")),
    ("output-and-embedding", "tied", dict(target_modules=["decoder", "word_embeddings"])),
    ("save-cls", "tied", dict(target_modules=["query"], modules_to_save=["cls"])),
    ("save-word-embedding", "tied", dict(target_modules=["query"], modules_to_save=["word_embeddings"])),
    ("save-cls-and-all-linear", "tied", dict(target_modules="all-linear", modules_to_save=["cls"])),
    ("dora", "tied", dict(target_modules=["query", "fc1"], use_dora=True)),
    ("dora-convolution", "tied", dict(target_modules=["patch_embedding"], use_dora=True)),
    ("dora-embedding", "tied", dict(target_modules=["word_embeddings"], use_dora=True)),
    ("bias-all", "tied", dict(target_modules=["query", "dense"], bias="all")),
    ("bias-lora-only", "tied", dict(target_modules=["query", "decoder"], bias="lora_only")),
    ("lora-bias", "tied", dict(target_modules=["query", "patch_embedding"], lora_bias=True)),
    ("rslora", "tied", dict(target_modules=["query"], use_rslora=True)),
    (
        "patterns",
        "tied",
        dict(
            target_modules=["query", "value", "qkv"],
            rank_pattern={"crossattention.self.query": 2, "qkv": 3},
            alpha_pattern={f"{LAYER}.1.attention.self.value": 20, "layers.0.self_attn.qkv": 2},
        ),
    ),
    ("some-layers", "tied", dict(target_modules=["query"], layers_to_transform=[1], layers_pattern="layer")),
    ("excluded", "tied", dict(target_modules=["query", "value"], exclude_modules=r".*crossattention.*")),
    ("by-pattern", "tied", dict(target_modules=r"text_decoder.*(query|dense)")),
    ("orthogonal", "tied", dict(target_modules=["query"], init_lora_weights="orthogonal")),
    ("gaussian", "tied", dict(target_modules=["query"], init_lora_weights="gaussian")),
    ("pissa", "tied", dict(target_modules=["query"], init_lora_weights="pissa")),
    ("olora", "tied", dict(target_modules=["query"], init_lora_weights="olora")),
    ("mica", "tied", dict(target_modules=["query"], init_lora_weights="mica")),
    ("untied-plain", "untied", dict(target_modules=["query"])),
    ("untied-output", "untied", dict(target_modules=["decoder", "word_embeddings"])),
    ("other-bias-plain", "other-bias", dict(target_modules=["query"])),
    ("other-bias-all", "other-bias", dict(target_modules=["decoder"], bias="all")),
    ("bias-all-and-save-cls", "tied", dict(target_modules=["query"], bias="all", modules_to_save=["cls"])),
]


def make_bases(folder: Path) -> dict[str, Path]:
    """The tiny base, one with a separate output matrix, and one whose two output biases differ."""
    bases = {"tied": BASE}
    generator = torch.Generator().manual_seed(11)
    weights = load_file(BASE / "model.safetensors")
    head = "text_decoder.cls.predictions"
    embedding = weights["text_decoder.bert.embeddings.word_embeddings.weight"]
    own = {
        "untied": {
            f"{head}.decoder.weight": torch.randn(embedding.shape, generator=generator) * 0.35,
            f"{head}.decoder.bias": torch.randn(len(embedding), generator=generator) * 0.3,
        },
        "other-bias": {f"{head}.decoder.bias": torch.randn(len(embedding), generator=generator) * 0.3},
    }
    for name, tensors in own.items():
        bases[name] = folder / "bases" / name
        bases[name].mkdir(parents=True)
        config = json.loads((BASE / "config.json").read_text())
        if name == "untied":
            config["tie_word_embeddings"] = config["text_config"]["tie_word_embeddings"] = False
        (bases[name] / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        # Only what the tiny base lacks; tests combine both as two shards.
        save_file(tensors, bases[name] / "own.safetensors", metadata={"format": "pt"})
    return bases


def load(folder: Path) -> BlipForConditionalGeneration:
    own = folder / "own.safetensors"
    if not own.exists():
        return BlipForConditionalGeneration.from_pretrained(folder).eval()
    whole = folder.parent / f".{folder.name}-whole"
    whole.mkdir(exist_ok=True)
    shutil.copy(folder / "config.json", whole)
    save_file({**load_file(BASE / "model.safetensors"), **load_file(own)}, whole / "model.safetensors", {"format": "pt"})
    model = BlipForConditionalGeneration.from_pretrained(whole).eval()
    shutil.rmtree(whole)
    return model


def forget_folder(config: Path) -> None:
    """Removes the base's folder on this machine, which peft records."""
    settings = json.loads(config.read_text())
    settings["base_model_name_or_path"] = "tests/tiny-blip"
    config.write_text(json.dumps(settings, indent=2) + "\n")


def train_at_random(model: PeftModel, seed: int) -> None:
    """Changes every trainable weight, as training would."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                spread = 0.05 if "magnitude" in name else 0.2
                parameter.add_(torch.randn(parameter.shape, generator=generator) * spread)


@torch.no_grad()
def expectations(model: torch.nn.Module, pixels: torch.Tensor) -> dict:
    values = (pixels.float() / 255 - MEAN) / STD
    answer = model.generate(
        pixel_values=values, max_new_tokens=10, do_sample=False, num_beams=1, output_scores=True, return_dict_in_generate=True
    )
    chosen = answer.sequences[:, 1:]
    logs = torch.stack(answer.scores, 1).log_softmax(-1).gather(2, chosen[..., None])[..., 0]
    return {
        "token_ids": chosen.tolist(),
        "log_probabilities": [[round(value, 6) for value in row] for row in logs.tolist()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", choices=[name for name, _, _ in VARIANTS], metavar="NAME")
    parser.add_argument("--out", type=Path, default=OUT, help="a new folder; the fixtures of the tests where absent")
    args = parser.parse_args()
    if args.out != OUT and args.out.exists():
        parser.error(f"{args.out} is there already, and would be replaced; name a new folder")
    shutil.rmtree(args.out, ignore_errors=True)
    args.out.mkdir(parents=True)
    bases = make_bases(args.out)
    generator = torch.Generator().manual_seed(5)
    pixels = torch.randint(0, 256, (4, 3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    report = {
        "pixels": pixels.flatten().tolist(),
        "bases": {name: expectations(load(folder), pixels) for name, folder in bases.items()},
        "adapters": {},
    }
    for seed, (name, base, options) in enumerate(VARIANTS):
        if args.only and name not in args.only:
            continue
        torch.manual_seed(seed)
        try:
            model = get_peft_model(load(bases[base]), LoraConfig(r=4, lora_alpha=8, **options))
            train_at_random(model, seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.save_pretrained(args.out / name)
        except Exception as error:
            print(f"{name}: this peft cannot make it: {error}")
            shutil.rmtree(args.out / name, ignore_errors=True)
            continue
        (args.out / name / "README.md").unlink(missing_ok=True)
        forget_folder(args.out / name / "adapter_config.json")
        loaded = PeftModel.from_pretrained(load(bases[base]), args.out / name).eval()
        report["adapters"][name] = {"base": base, **expectations(loaded, pixels)}
    (args.out / "reference.json").write_text(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
