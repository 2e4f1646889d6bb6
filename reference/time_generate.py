"""Times transformers' `generate` for the benches, one batch for each request.

Reads lines of {"variant": NAME, "batch": PICTURES} and answers each with a line of {"ms": MILLISECONDS} or, if the
variant cannot run here, {"error": WHY}. What a variant or a new batch size needs once (conversion, compilation,
warming up) is not included in the time. Compiled variants need a C++ compiler.
"""

import argparse
import copy
import json
import sys
import time
from functools import cache
from pathlib import Path

import torch
from transformers import BlipForConditionalGeneration

from models import open_blip

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
COMPILED = ", compiled"
WARM_UPS = 2


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--new-tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    original = open_blip(args.base, args.adapter)
    interpolate = args.image_size != original.config.vision_config.image_size

    @cache
    def variant_of(name: str) -> BlipForConditionalGeneration:
        model = copy.deepcopy(original).to(args.device, DTYPES[name.removesuffix(COMPILED)])
        if name.endswith(COMPILED):
            # The decoder is not compiled: its keys and values grow by a token per step, and each would need a new
            # compilation.
            model.vision_model.compile()
        return model

    def generate(model: BlipForConditionalGeneration, pixels: torch.Tensor) -> None:
        model.generate(
            pixel_values=pixels,
            max_new_tokens=args.new_tokens,
            do_sample=False,
            num_beams=1,
            interpolate_pos_encoding=interpolate,
        )
        if args.device == "cuda":
            torch.cuda.synchronize()

    warm = set()

    def time_once(name: str, batch: int) -> float:
        model = variant_of(name)
        pixels = torch.randn(batch, 3, args.image_size, args.image_size, generator=torch.Generator().manual_seed(0))
        pixels = pixels.to(args.device, DTYPES[name.removesuffix(COMPILED)])
        if (name, batch) not in warm:
            for _ in range(WARM_UPS):
                generate(model, pixels)
            warm.add((name, batch))
        started = time.perf_counter()
        generate(model, pixels)
        return 1000 * (time.perf_counter() - started)

    # Only answers may go to standard output, whatever a library prints.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = {"ms": time_once(order["variant"], order["batch"])}
        except Exception as error:  # the other variants can still be timed
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
