"""Forward passes with freed memory kept against given back, turn by turn in processes of their own.

    python benchmarks/allocator.py [MODEL]

Prints pictures a second of each turn, the ratio of the medians, and whether the features agree.
"""

import json
import statistics
import subprocess
import sys

TURNS = 5
CODE = """
import json, sys, time, torch, headstart as hs
from headstart.embed.fuse import fuse
from headstart.embed.memory import keep_freed_memory
if sys.argv[2] == "kept":
    assert keep_freed_memory()
torch.manual_seed(0)
classifier = hs.load(sys.argv[1])
network = fuse(classifier.backbone, side=224).to(memory_format=torch.channels_last)
batch = torch.randn(32, 3, 224, 224).to(memory_format=torch.channels_last)
with torch.inference_mode():
    features = network(batch)
    network(batch)
    start = time.perf_counter()
    for _ in range(6):
        network(batch)
print(json.dumps([6 * 32 / (time.perf_counter() - start), float(features.double().sum())]))
"""


def main() -> None:
    """Measure and print."""
    model = sys.argv[1] if len(sys.argv) > 1 else "efficientnet_lite0"
    rates: dict[str, list[float]] = {"kept": [], "given back": []}
    sums = set()
    for _ in range(TURNS):
        for name, turns in rates.items():
            ran = subprocess.run(
                [sys.executable, "-c", CODE, model, name], capture_output=True, text=True, check=True
            )
            rate, total = json.loads(ran.stdout)
            turns.append(rate)
            sums.add(total)
    for name, turns in rates.items():
        print(f"{name:>10}: {', '.join(f'{rate:.0f}' for rate in turns)} pictures/s")
    ratio = statistics.median(rates["kept"]) / statistics.median(rates["given back"])
    print(f"kept / given back: {ratio:.2f}; features {'equal' if len(sums) == 1 else 'DIFFER'}")


if __name__ == "__main__":
    main()
