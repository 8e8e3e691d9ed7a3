"""PyTorch's attention on one thread, one head of 64, to be held against bench/attention_steps: eager and fused (SDPA).

  taskset -c 1 python attention.py        prints GFLOP/s, 4 * tokens^2 * 64 operations each, the best of three runs
"""
import time

import torch

HEAD, RUNS = 64, 3


def main() -> None:
    torch.set_num_threads(1)
    for tokens in (512, 2048, 4096, 8192):
        q, k, v = (torch.randn(1, 1, tokens, HEAD) for _ in range(3))
        ways = {"eager": lambda: torch.softmax(q @ k.transpose(-1, -2) * HEAD**-0.5, -1) @ v,
                "sdpa": lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v)}
        rates = []
        for name, run in ways.items():
            run()
            times = []
            for _ in range(RUNS):
                start = time.perf_counter()
                run()
                times.append(time.perf_counter() - start)
            rates.append(f"{name} {4 * tokens**2 * HEAD / min(times) / 1e9:.1f}")
        print(tokens, *rates, flush=True)


if __name__ == "__main__":
    main()
