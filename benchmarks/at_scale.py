"""Fifty million pictures, a hundred candidates, 8 and 64 GPU nodes: a simulation fed with measured rates.

    python benchmarks/at_scale.py PHOTOGRAPHS.zip [--nodes 8 64] [--pictures 50e6] [--candidates 100]

Nothing of this size was run. Measured are: how long one core takes to decode one of the photographs given
here to 224 pixels (by this script, on this machine), how many pictures a second a GPU takes (in
results/embedding_h200.json and embedding_resnet50_h200.json), and what part of the exhaustive search the race
costs (results/selection.json). Assumed, and open to change by options: cores, price, the network of a node
and of the store, and how often a spot node leaves.

Nodes take pieces of 2,048 pictures. As headstart's cluster does it, a piece is read and decoded once for as
many networks as a worker has room for, and they see it one after the other. Reading and decoding overlap,
the forward passes come after them; all with a spread of 10 %. A node that leaves loses its piece, and another
comes five minutes later. Printed for each number of nodes: hours, node-hours, price, what takes most of the
time, and how busy each resource is.
"""

import argparse
import heapq
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from turns import begin, save

RESULTS = Path(__file__).parent / "results"
PIECE = 2048
FEATURES = 1280
_SECONDS_TO_RETURN = 300.0
_SPREAD = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Seconds that one piece keeps each resource of a node busy, for all networks that see it together."""

    reading: float
    decoding: float
    forward: float

    @property
    def seconds(self) -> float:
        """How long the piece takes."""
        return max(self.reading, self.decoding) + self.forward


def decode_seconds(photographs: Path, num_pictures: int = 100) -> float:
    """Return the time that one core takes for one photograph, to 224 pixels: the lowest of three rounds."""
    import torch

    from headstart.catalog.entry import Preprocessing
    from headstart.data.pixels import prepare_picture

    torch.set_num_threads(1)
    with ZipFile(photographs) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg"))]
        files = [archive.read(name) for name in names[:num_pictures]]
    rounds = []
    for _ in range(3):
        started = time.perf_counter()
        for file in files:
            prepare_picture(file, (Preprocessing(),), decoder="fast")
        rounds.append((time.perf_counter() - started) / len(files))
    return min(rounds)


def gpu_rate(name: str) -> float:
    """Return the pictures a second that a GPU took in a kept record."""
    record = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return float(record["models"][0]["forward_rate"]["median"])


def networks_together() -> int:
    """Return how many of the default candidates a worker has room for together, on average, at least 1."""
    from headstart.catalog import find_model
    from headstart.compare.candidates import DEFAULT_MODELS
    from headstart.embed import fitting_groups

    sizes = [find_model(name).num_params for name in DEFAULT_MODELS]
    return max(1, len(sizes) // sum(1 for _ in fitting_groups(sizes)))


def simulate(piece: Piece, num_pieces: int, num_nodes: int, *, hours_between: float, seed: int) -> float:
    """Return the seconds until all pieces are done.

    Args:
        piece: what each costs.
        num_pieces: of all candidates.
        num_nodes: that take pieces.
        hours_between: after so many hours, on average, a node leaves.
        seed: of the spread and of the leaving.
    """
    generator = np.random.default_rng(seed)
    nodes = [(0.0, node) for node in range(num_nodes)]  # when each is free
    leaves = generator.exponential(3600 * hours_between, num_nodes)
    done, end = 0, 0.0
    while done < num_pieces:
        free, node = heapq.heappop(nodes)
        finished = free + piece.seconds * max(0.2, 1 + _SPREAD * generator.standard_normal())
        if finished > leaves[node]:  # the piece is lost
            back = leaves[node] + _SECONDS_TO_RETURN
            leaves[node] = back + generator.exponential(3600 * hours_between)
            heapq.heappush(nodes, (back, node))
            continue
        done, end = done + 1, max(end, finished)
        heapq.heappush(nodes, (finished, node))
    return end


def main() -> None:
    """Run the simulation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--nodes", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--pictures", type=float, default=50e6)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--gpu-rates", type=float, nargs="+", help="pictures a second; default: as recorded")
    parser.add_argument("--together", type=int, help="networks that see a piece; default: those that fit")
    parser.add_argument("--cores", type=int, default=16, help="of each node, beside its one GPU")
    parser.add_argument("--node-gbit", type=float, default=25.0, help="network of a node")
    parser.add_argument("--store-gbit", type=float, default=200.0, help="network of the store, for all nodes")
    parser.add_argument("--price", type=float, default=4.0, help="of a node for an hour")
    parser.add_argument("--hours-between", type=float, default=12.0, help="until a spot node leaves")
    parser.add_argument("--json", type=Path, help="file for the record")
    args = parser.parse_args()
    if not args.photographs.is_file():
        sys.exit(f"{args.photographs} is not there")
    record = begin("at_scale", args)
    rates = args.gpu_rates or [gpu_rate("embedding_h200.json"), gpu_rate("embedding_resnet50_h200.json")]
    with ZipFile(args.photographs) as archive:
        sizes = [each.file_size for each in archive.infolist() if not each.is_dir()]
    mean_bytes, decoding = float(np.mean(sizes)), decode_seconds(args.photographs)
    selection = json.loads((RESULTS / "selection.json").read_text(encoding="utf-8"))
    share = float(selection["summary"]["cost"]["mean"])
    record["measured"] = {
        "decode_ms": 1000 * decoding,
        "picture_bytes": mean_bytes,
        "gpu_rates": rates,
        "race_share": share,
        "networks_together": networks_together() if args.together is None else args.together,
    }
    print(f"decoding {1000 * decoding:.2f} ms a picture and core, {mean_bytes / 1000:.0f} kB a picture")
    together = record["measured"]["networks_together"]
    print(f"{together} networks see a piece together")
    print(f"GPU {', '.join(f'{rate:,.0f}' for rate in rates)} pictures/s; race {share:.1%} of all candidates")
    record["results"] = [
        row
        for nodes in args.nodes
        for row in rows_for(nodes, args, rates, mean_bytes, decoding, share, together)
    ]
    for row in record["results"]:
        busy = ", ".join(f"{name} {value:.0%}" for name, value in row["busy"].items())
        print(
            f"{row['nodes']:>3} nodes, {row['way']:<10} {row['hours']:>8,.1f} h "
            f"{row['node_hours']:>9,.0f} node-hours {row['price']:>9,.0f}; first: {row['first']} ({busy})"
        )
    save(record, args.json)


def rows_for(
    nodes: int,
    args: Any,
    rates: list[float],
    mean_bytes: float,
    decoding: float,
    share: float,
    together: int,
) -> list[dict[str, Any]]:
    """Return what all candidates and what the race take on so many nodes."""
    gbit = min(args.node_gbit, args.store_gbit / nodes)
    piece = Piece(
        # What a network's features take of the way to the store counts as reading, too.
        reading=PIECE * (mean_bytes + together * 4 * FEATURES) * 8 / (gbit * 1e9),
        decoding=PIECE * decoding / args.cores,
        forward=PIECE * together * sum(1 / rate for rate in rates) / len(rates),  # equally many are as each
    )
    busy = {name: getattr(piece, name) / piece.seconds for name in ("reading", "decoding", "forward")}
    rows = []
    for way, candidates in (("exhaustive", float(args.candidates)), ("race", args.candidates * share)):
        num_pieces = int(np.ceil(args.pictures * candidates / together / PIECE))
        seconds = simulate(piece, num_pieces, nodes, hours_between=args.hours_between, seed=0)
        hours = seconds / 3600
        rows.append(
            {
                "nodes": nodes,
                "way": way,
                "hours": hours,
                "node_hours": nodes * hours,
                "price": nodes * hours * args.price,
                "first": max(busy, key=lambda name: busy[name]),
                "busy": busy,
            }
        )
    return rows


if __name__ == "__main__":
    main()
