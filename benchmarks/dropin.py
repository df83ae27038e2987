"""Import and construction of the drop-in against the original, turn by turn in processes of their own.

    python benchmarks/dropin.py PYTHON_WITH_ORIGINAL [NAME...]

PYTHON_WITH_ORIGINAL is a Python that has the original 0.7.4 and six instead of headstart, with the same torch
and torchvision. Imports are also measured with torch and torchvision imported before, for the original brings
them along and the drop-in does not. Printed are medians of the turns and their ratio; a construction is one
call with random weights after the import.
"""

import json
import statistics
import subprocess
import sys

TURNS = 5
IMPORT = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
{before}
start = time.perf_counter()
import pretrainedmodels
print(json.dumps([time.perf_counter() - start]))
"""
CONSTRUCT = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import torch, torchvision, pretrainedmodels
pretrainedmodels.__dict__["squeezenet1_1"](pretrained=None)  # what is imported late is imported now
times = []
for name in sys.argv[1:]:
    start = time.perf_counter()
    model = pretrainedmodels.__dict__[name](pretrained=None)
    times.append(time.perf_counter() - start)
    del model
print(json.dumps(times))
"""


def run(python: str, code: str, names: list[str]) -> list[float]:
    """Return the times that a process of its own printed."""
    ran = subprocess.run([python, "-c", code, *names], capture_output=True, text=True, check=True)
    return list(map(float, json.loads(ran.stdout.splitlines()[-1])))


def compare(original: str, code: str, names: list[str], labels: list[str]) -> None:
    """Print a line a label: medians of ours and of the original, and their ratio."""
    turns = [(run(sys.executable, code, names), run(original, code, names)) for _ in range(TURNS)]
    for place, label in enumerate(labels):
        ours = statistics.median(turn[0][place] for turn in turns)
        theirs = statistics.median(turn[1][place] for turn in turns)
        print(
            f"{label:<32} ours {ours:7.3f} s  original {theirs:7.3f} s  ratio {ours / theirs:.3f}", flush=True
        )


def main() -> None:
    """Measure and print."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    original = sys.argv[1]
    from pretrainedmodels import model_names

    names = sys.argv[2:] or model_names
    compare(original, IMPORT.format(before=""), [], ["import"])
    compare(original, IMPORT.format(before="import torch, torchvision"), [], ["import after torch"])
    compare(original, CONSTRUCT, names, names)


if __name__ == "__main__":
    main()
