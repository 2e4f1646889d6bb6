"""Arithmetic of the CPU scripts: bfloat16 where the processor computes in it, float32 elsewhere (emulation is ten times slower)."""

import torch


def autocast() -> torch.autocast:
    has_bfloat16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.autocast("cpu", torch.bfloat16, enabled=has_bfloat16)
