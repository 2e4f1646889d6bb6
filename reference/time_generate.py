"""Times transformers' `generate` for `npm run bench -- engine`; prints milliseconds a run as JSON."""

import argparse
import json
import time
from pathlib import Path

import torch

from models import open_blip


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--image-size", type=int, required=True)
    parser.add_argument("--batches", type=int, nargs="+", required=True)
    parser.add_argument("--new-tokens", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--repeats", type=int, required=True)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="float32 on the one, bfloat16 on the other")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    dtype = torch.bfloat16 if args.device == "cuda" else torch.float32
    model = open_blip(args.base, args.adapter).to(args.device, dtype)
    interpolate = args.image_size != model.config.vision_config.image_size
    times: dict[int, list[float]] = {}
    for batch in args.batches:
        pixels = torch.randn(batch, 3, args.image_size, args.image_size, generator=torch.Generator().manual_seed(0))
        pixels = pixels.to(args.device, dtype)
        for run in range(args.repeats + 1):
            started = time.perf_counter()
            model.generate(
                pixel_values=pixels,
                max_new_tokens=args.new_tokens,
                do_sample=False,
                num_beams=1,
                interpolate_pos_encoding=interpolate,
            )
            if args.device == "cuda":
                torch.cuda.synchronize()
            if run > 0:
                times.setdefault(batch, []).append(1000 * (time.perf_counter() - started))
    print(json.dumps(times))


if __name__ == "__main__":
    main()
