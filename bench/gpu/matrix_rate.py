"""Operations per second of a large 16-bit matrix product (float32 on a CPU), as JSON: the yardstick for an encoder."""

import argparse
import json
import statistics
import time

import torch

SIZE = {"cuda": 8192, "cpu": 1024}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=SIZE, required=True)
    device = parser.parse_args().device
    size = SIZE[device]
    a = torch.randn(size, size, device=device, dtype=torch.float16 if device == "cuda" else torch.float32)
    times = []
    for _ in range(12):
        started = time.perf_counter()
        a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    print(json.dumps({"operations_per_second": 2 * size**3 / statistics.median(times[2:])}))


if __name__ == "__main__":
    main()
