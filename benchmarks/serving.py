"""`headstart serve` under load, against its own offline rate, plain FastAPI services with timm, and LitServe.

    python benchmarks/serving.py PHOTOGRAPHS --peers-python PEERS/bin/python
    python benchmarks/serving.py PHOTOGRAPHS --hostile 100000

PHOTOGRAPHS is a folder or zip of JPEG files, made distinct as for embedding.py. The peers live in an
environment of their own:

    python -m venv PEERS
    PEERS/bin/pip install torch torchvision timm fastapi uvicorn litserve python-multipart

All serve the same tensors (EfficientNet-Lite0, the starter weights) with the same size, filter, crop, mean
and std, each at its default precision, and get the same requests, a form with one picture each, from one
process (load.py) over --connections connections. Every turn is a server of its own, warmed up by requests
that do not count; the turns alternate. "offline" is `hs.predict` over the same files: pictures a second from
its first batch to its last.

The process that sends the requests shares the cores with the server, while offline has all of them. So two
shares of the offline rate are printed: as measured, and with the sender's own processor time taken off the
time. The second is what a sender elsewhere would get; the goal is held to the first.

Then requests at half of the rate just measured, evenly spaced: the median and the 99th percentile from when a
request was due. And whether the answers agree: with `hs.predict` (same class; largest difference of its
probability), and the peers' with ours.

--hostile sends so many requests, good and hostile mixed (hostile.py), while slow senders hold connections and
1,000 connections come at once now and then. It prints what was answered how, whether any good answer was
wrong, and the server's memory on the way, and fails where something was not as it must be.
"""

import argparse
import asyncio
import functools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from embedding import make_spec
from hostile import Attack, GoodPicture
from load import form_request
from pictures import read_photographs, write_copies
from seeded_weights import write_weights
from turns import PEERS, add_options, begin, goal_words, headstart, note, ratios, save, spread, words

import headstart as hs
from headstart.embed import PlanOptions
from headstart.embed.plan import batch_size

MODEL = "efficientnet_lite0"
OURS = "headstart"
PEER_NAMES = ["fastapi", "fastapi, async", "litserve"]
OFFLINE_GOAL, PEER_GOAL = 0.85, 3.0
WARM_UP = 96
# A leak would grow with the requests: from the first fifth to the end, by so much at most.
MOST_GROWTH_BYTES = 100 * 2**20


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def serving(name: str, spec: dict[str, Any], work: Path, python: str) -> Iterator[tuple[int, psutil.Process]]:
    """Run a service in a process of its own; give its port and process once it answers."""
    port = free_port()
    path = work / "server.json"
    path.write_text(json.dumps({**spec, "port": port}), encoding="utf-8")
    command: list[object] = [python, PEERS / "serve.py", name, path]
    if name == OURS:
        command = headstart("serve", spec["headstart"], "--port", port, "--precision", spec["precision"])
    log = work / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=output,
            stderr=output,
            cwd=work,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "HEADSTART_HOME": str(work / "home")},
            start_new_session=True,
        )
        try:
            wait_until_it_answers(process, port, log)
            yield port, psutil.Process(process.pid)
        finally:
            children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.terminate()
            process.wait(30)
            for child in children:
                if child.is_running():
                    child.kill()


def wait_until_it_answers(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    """Return once a service accepts connections; end the benchmark where it does not."""
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=30) as opened:
                opened.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                if opened.recv(1):
                    return
        except OSError:
            time.sleep(0.2)
    sys.exit(f"{process.args} does not answer:\n{log.read_text()[-3000:]}")


def send(spec: dict[str, Any], work: Path, port: int, **more: Any) -> dict[str, Any]:
    """Let load.py send all pictures, and return what it measured."""
    path = work / "load.json"
    path.write_text(json.dumps({**spec, "port": port, **more}), encoding="utf-8")
    printed = subprocess.check_output([sys.executable, Path(__file__).parent / "load.py", path])
    return dict(json.loads(printed))


def serve_turn(
    name: str, spec: dict[str, Any], work: Path, python: str, connections: int, *, half: bool
) -> dict[str, Any]:
    """Return the rate of one service, and its latencies at half of that."""
    with serving(name, spec, work, python) as (port, process):
        send({**spec, "folder": spec["warm_up"]}, work, port, connections=16)
        before = processor_seconds(process)
        full = send(spec, work, port, connections=connections)
        turn = {
            "rate": len(full["answers"]) / full["seconds"],
            "processor_ms": 1000 * (processor_seconds(process) - before) / len(full["answers"]),
            "sender_share": full["own_seconds"] / full["seconds"] / len(os.sched_getaffinity(0)),
            "answers": [best_of(answer, spec["class_names"]) for answer in full["answers"]],
        }
        if half:
            at_half = send(spec, work, port, connections=256, rate=turn["rate"] / 2)
            turn["latency_ms"] = np.percentile(1000 * np.array(at_half["latencies"]), (50, 99)).tolist()
        return turn


def processor_seconds(process: psutil.Process) -> float:
    """Return the processor time that a process and its children have taken."""
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def best_of(answer: dict[str, Any], class_names: list[str]) -> tuple[int, float]:
    """Return a picture's best class and its probability, by whichever service."""
    if "predictions" in answer:
        first = answer["predictions"][0]
        return class_names.index(first["label"]), first["probability"]
    if "index" not in answer:
        sys.exit(f"a request was not answered: {answer}")
    return answer["index"], answer["probability"]


def offline_turn(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the rate of `hs.predict` over the same files, in a process of its own."""
    code = (
        "import json, sys, time, headstart as hs\n"
        "from headstart.embed import PlanOptions\n"
        "spec = json.loads(sys.argv[1])\n"
        "classifier, ends, answers = hs.load(spec['headstart']), [], []\n"
        "options = PlanOptions(precision=spec['precision'])\n"
        "for row in hs.predict(classifier, spec['folder'], options=options):\n"
        "    ends.append(time.perf_counter())\n"
        "    answers.append((row.path, classifier.class_names.index(row.label), row.probability))\n"
        "size = spec['batch_size']\n"
        "print(json.dumps({'rate': (len(ends) - size) / (ends[-1] - ends[0]), 'answers': answers}))\n"
    )
    shown = {key: spec[key] for key in ("headstart", "folder", "batch_size", "precision")}
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"HEADSTART_HOME": home}
        printed = subprocess.check_output([sys.executable, "-c", code, json.dumps(shown)], env=environment)
    turn = json.loads(printed)
    turn["answers"] = [(index, share) for _, index, share in sorted(turn["answers"])]
    return dict(turn)


def agreement(found: list[Any], expected: list[Any]) -> dict[str, float]:
    """Return on how many pictures the best class is the same, and how far its probability differs."""
    same = [a[0] == b[0] for a, b in zip(found, expected, strict=True)]
    apart = [abs(a[1] - b[1]) for a, b in zip(found, expected, strict=True) if a[0] == b[0]]
    return {"same_class": statistics.fmean(same), "largest_difference": max(apart, default=0.0)}


def measure(spec: dict[str, Any], work: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Take turns and return what came out."""
    python = str(args.peers_python.absolute() if args.peers_python else sys.executable)
    names = [OURS, *(args.peers if args.peers_python else [])]
    contestants = {
        name: functools.partial(serve_turn, name, spec, work, python, args.connections, half=name == OURS)
        for name in names
    } | {"offline": functools.partial(offline_turn, spec)}
    taken: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
    for turn in range(args.turns):
        for name in reversed(contestants) if turn % 2 else contestants:
            taken[name].append(contestants[name]())
            note(f"turn {turn + 1} of {args.turns}: {name} {taken[name][-1]['rate']:.1f} pictures/s")
    ours = taken[OURS]
    rates = {name: [turn["rate"] for turn in turns] for name, turns in taken.items()}
    away = [turn["rate"] / (1 - turn["sender_share"]) for turn in ours]
    return {
        "rate": {name: spread(values) for name, values in rates.items()},
        "processor_ms_a_picture": {
            name: spread([turn["processor_ms"] for turn in taken[name]]) for name in names
        },
        "of_offline": ratios(rates[OURS], rates["offline"]),
        "of_offline_without_sender": ratios(away, rates["offline"]),
        "times_peer": {name: ratios(rates[OURS], rates[name]) for name in names if name != OURS},
        "latency_ms_at_half_load": {
            "median": spread([turn["latency_ms"][0] for turn in ours]),
            "p99": spread([turn["latency_ms"][1] for turn in ours]),
        },
        "agreement_with_offline": agreement(ours[0]["answers"], taken["offline"][0]["answers"]),
        "agreement_of_peers": {
            name: agreement(taken[name][0]["answers"], ours[0]["answers"]) for name in names if name != OURS
        },
    }


def print_measured(result: dict[str, Any]) -> None:
    """Print what was measured, and which goals are reached."""
    for name, rate in result["rate"].items():
        ratio = result["times_peer"].get(name)
        told = f"; headstart is {words(ratio, digits=2)} times as fast" if ratio else ""
        own = result["processor_ms_a_picture"].get(name)
        cost = f", {words(own, 'ms')} of processor time a picture" if own else ""
        print(f"{name:<16} {words(rate, 'pictures/s')}{cost}{told}")
    if result["times_peer"]:
        slowest = min(result["times_peer"].values(), key=lambda each: each["median"])
        print(f"against the fastest peer {words(slowest, digits=2)}; {goal_words(slowest, PEER_GOAL)}")
    share = result["of_offline"]
    print(f"of the offline rate {words(share, digits=2)}; {goal_words(share, OFFLINE_GOAL)}")
    print(f"with the sender's time taken off {words(result['of_offline_without_sender'], digits=2)}")
    latency = result["latency_ms_at_half_load"]
    median, p99 = (words(latency[key], "ms") for key in ("median", "p99"))
    print(f"at half load: median {median}, 99th percentile {p99}")
    for name, found in {"offline": result["agreement_with_offline"], **result["agreement_of_peers"]}.items():
        print(
            f"same class as {name}: {found['same_class']:.1%}, "
            f"probabilities differ by {found['largest_difference']:.5f} at most"
        )


def attack(spec: dict[str, Any], work: Path, num_requests: int) -> dict[str, Any]:
    """Send good and hostile requests, and return what happened; say what must not."""
    files = sorted(Path(spec["folder"]).rglob("*.jpg"))[:64]
    rows = hs.predict(hs.load(spec["headstart"]), files, options=PlanOptions(precision=spec["precision"]))
    good = [
        GoodPicture(
            request=form_request(Path(file).read_bytes()), label=row.label, probability=row.probability
        )
        for file, row in zip(files, rows, strict=True)
    ]
    with serving(OURS, spec, work, sys.executable) as (port, process):
        memory: list[int] = []

        def progress(share: float) -> None:
            memory.append(process.memory_info().rss)
            note(f"{share:.0%} sent, the server holds {memory[-1] / 2**20:.0f} MiB")

        outcome = asyncio.run(Attack(port, good, progress=progress).run(num_requests))
        outcome["is_running"] = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    outcome["memory_bytes"] = memory
    outcome["growth_bytes"] = memory[-1] - memory[len(memory) // 5]
    print(json.dumps({key: value for key, value in outcome.items() if key != "memory_bytes"}, indent=1))
    print(f"memory in MiB on the way: {[round(each / 2**20) for each in memory]}")
    must_not = {
        "it crashed": not outcome["is_running"],
        "answers were wrong": outcome["wrong"],
        "answers had another status than they must have": outcome["unexpected"],
        "connections were refused without a word": outcome["unanswered"],
        f"its memory grew by {outcome['growth_bytes'] / 2**20:.0f} MiB": outcome["growth_bytes"]
        > MOST_GROWTH_BYTES,
    }
    failures = [what for what, happened in must_not.items() if happened]
    print("; ".join(failures) or "no crash, no wrong answer, no leak")
    outcome["failures"] = failures
    return outcome


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="The service under load: see the docstring.")
    parser.add_argument("photographs", type=Path, help="folder or zip of JPEG files")
    parser.add_argument("--peers-python", type=Path, help="without it no peer is measured")
    parser.add_argument("--peers", nargs="*", choices=PEER_NAMES, default=PEER_NAMES, metavar="PEER")
    parser.add_argument("--num-images", type=int, default=960)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--hostile", type=int, default=0, metavar="N", help="send so many requests instead")
    add_options(parser, num_turns=3)
    args = parser.parse_args()
    record = begin("serving", args)
    photographs = read_photographs(args.photographs)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        write_copies(photographs, work / "pictures", args.num_images)
        write_copies(photographs, work / "warm-up", WARM_UP)
        write_weights(MODEL, work / f"{MODEL}.safetensors", photographs)
        spec = make_spec(MODEL, work / "pictures", work, work / f"{MODEL}.safetensors")
        classifier = hs.load(spec["headstart"])
        spec |= {
            "warm_up": str(work / "warm-up"),
            "class_names": list(classifier.class_names),
            "batch_size": batch_size(classifier.preprocessing, device=spec["device"]),
            # On few pictures `hs.predict` computes exactly unless told; this is the fast plan.
            "precision": "fp32" if args.hostile else "auto",
        }
        record["hostile" if args.hostile else "load"] = result = (
            attack(spec, work, args.hostile) if args.hostile else measure(spec, work, args)
        )
        if not args.hostile:
            print_measured(result)
        save(record, args.json)
    sys.exit(bool(result.get("failures")))


if __name__ == "__main__":
    main()
