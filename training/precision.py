"""Arithmetic of the training scripts: bfloat16 if the device has it, else float32 (emulation is ten times slower)."""

import torch


def autocast(device: str = "cpu") -> torch.autocast:
    has_bfloat16 = device != "cpu" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.autocast(device, torch.bfloat16, enabled=has_bfloat16)
