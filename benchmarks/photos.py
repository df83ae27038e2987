"""From 12-megapixel JPEG photographs to an array of features: headstart against the peers of embedding.py.

    python benchmarks/photos.py PHOTOGRAPHS --peers-python PEERS/bin/python

PHOTOGRAPHS is a folder or zip of JPEG files. They are enlarged to --num-images files of 4000x3000 at
quality 90, all different, with noise and texture laid over them (about a second each; --keep names a folder
to make them in and to find them again). The peers' environment, the turns and what is printed are those of
embedding.py, for the one model --model; last comes the ratio to the best peer, whose goal is 5.
"""

import argparse
import tempfile
from pathlib import Path

from embedding import TIMM_NAMES, add_peer_options, measure, print_model
from pictures import read_photographs, write_large
from turns import add_options, begin, note, save

GOAL = 5.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="12-megapixel photographs to features: see the docstring.")
    add_peer_options(parser)
    parser.add_argument("--model", choices=TIMM_NAMES, default="efficientnet_lite0")
    parser.add_argument("--num-images", type=int, default=100)
    parser.add_argument(
        "--keep", type=Path, help="folder for the large photographs; default: a temporary one"
    )
    add_options(parser, num_turns=5)
    args = parser.parse_args()
    record = begin("photos", args)
    photographs = read_photographs(args.photographs)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        files = list(folder.rglob("*.jpg"))
        if len(files) != args.num_images:
            if files:
                parser.error(f"{folder} holds {len(files)} pictures, not {args.num_images}")
            note(f"making {args.num_images} photographs")
            write_large(photographs, folder, args.num_images)
            files = list(folder.rglob("*.jpg"))
        record["mean_file_bytes"] = sum(file.stat().st_size for file in files) / len(files)
        print(f"{len(files)} files of 4000x3000, {record['mean_file_bytes'] / 1e6:.1f} MB each on average")
        result = measure(args.model, folder, photographs, args, args.peers)
    print_model(result, goal=GOAL)
    record |= {"goal": GOAL, "models": [result]}
    save(record, args.json)


if __name__ == "__main__":
    main()
