"""Opens a BLIP, with or without a convolutional stem, as PyTorch runs it in float32."""

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import BlipForConditionalGeneration


def open_blip(base: Path, adapter: Path | None) -> BlipForConditionalGeneration:
    """The model in a folder, with the adapter merged in."""
    if "stem" in json.loads((base / "config.json").read_text()).get("vision_config", {}):
        # Imported here, because only such models need the stem's packages.
        sys.path.append(str(Path(__file__).parent.parent / "training"))
        from stem import load_hybrid_blip

        model = load_hybrid_blip(base)
    else:
        model = BlipForConditionalGeneration.from_pretrained(base, dtype=torch.float32)
    if adapter:
        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    return model.eval()


def normalization(base: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation for pixels from 0 to 1, [1, 3, 1, 1] each."""
    config = json.loads((base / "preprocessor_config.json").read_text())
    return tuple(torch.tensor(config[key]).view(1, 3, 1, 1) for key in ("image_mean", "image_std"))
