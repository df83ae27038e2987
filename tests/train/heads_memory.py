"""Prints by how many MiB anonymous memory grows while a head works on features in a file: HEAD, N, D.

Anonymous memory is what a process holds itself; pages of mapped files are the system's to drop.
"""

import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from headstart.audit.neighbours import unit_rows
from headstart.compare.signs import measure_features
from headstart.embed import matrix
from headstart.train import LinearProbe, fit_temperature
from headstart.train.closed_form import fit_closed_form
from headstart.train.familiarity import fit_familiarity
from headstart.train.neighbours import vote

NUM_CLASSES = 10


def draw(file, *, n, num_features):
    """Return features in a file, and labels that they tell something of."""
    generator = np.random.default_rng(0)
    features = np.memmap(file, np.float32, "w+", shape=(n, num_features))
    labels = generator.integers(0, NUM_CLASSES, n)
    centres = 0.15 * generator.standard_normal((NUM_CLASSES, num_features), np.float32)
    for start in range(0, n, 4096):
        block = features[start : start + 4096]
        block[:] = generator.standard_normal(block.shape, np.float32) + centres[labels[start : start + 4096]]
    return features, labels


def ridge(features, labels):
    return fit_closed_form(features, labels, num_classes=NUM_CLASSES)


HEADS = {
    "probe": lambda features, labels: LinearProbe(strengths=[0.1, 0.01]).fit(features, labels),
    "predict": lambda features, labels: fitted.predict(features),
    "ridge": lambda features, labels: ridge(features, labels).scores(features),
    # Few rows ask, for it is many neighbours that took memory.
    "vote": lambda features, labels: vote(features[:2000], features, labels, num_classes=NUM_CLASSES),
    "familiarity": lambda features, labels: fit_familiarity(features, np.arange(len(features)), seed=0),
    "temperature": lambda features, labels: fit_temperature(features, labels),
    "signs": lambda features, labels: measure_features([features[:100], features[100:]], None),
    "audit": lambda features, labels: unit_rows(features),
    "select": lambda features, labels: matrix.select_rows(features, np.arange(len(features))[::-1]),
}


def anonymous_mib():
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


if __name__ == "__main__":
    head, n, num_features = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    matrix.LARGEST_IN_MEMORY_BYTES = 2**20
    with tempfile.TemporaryFile() as file:
        features, labels = draw(file, n=n, num_features=num_features)
        fitted = LinearProbe(strengths=[0.1]).fit(features[:3000], labels[:3000])
        HEADS[head](features[:3000], labels[:3000])  # what is imported and started once is there
        before = peak = anonymous_mib()
        worker = threading.Thread(target=HEADS[head], args=(features, labels))
        worker.start()
        while worker.is_alive():
            peak = max(peak, anonymous_mib())
            worker.join(0.001)
        print(round(peak - before))
