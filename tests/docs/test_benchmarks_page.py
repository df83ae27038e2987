"""What the page of benchmarks says is what the kept records say, missed goals included."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
RESULTS = CHECKOUT / "benchmarks" / "results"
PAGE = (CHECKOUT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def record(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return found


def row_of(words: str, *, section: str = "") -> list[str]:
    """Return the cells of the first row that begins with these words, behind those of a section."""
    line = next(line for line in PAGE[PAGE.index(section) :].splitlines() if line.startswith(f"| {words}"))
    return [cell.strip().strip("*") for cell in line.strip("| ").split("|")]


def test_every_record_is_on_the_page() -> None:
    missing = [path.name for path in RESULTS.iterdir() if path.suffix != ".svg" and path.name not in PAGE]
    assert missing == []


@pytest.mark.parametrize(
    ("words", "goal", "digits"),
    [
        ("median regret", "median regret, points", 1),
        ("95th percentile", "95th percentile of the regret, points", 2),
        ("cost beyond", "cost beyond the winner's own pass, of the exhaustive", 3),
        ("cost in all", "cost in all, of the exhaustive", 3),
    ],
)
def test_the_goals_of_the_choice(words: str, goal: str, digits: int) -> None:
    kept = record("selection.json")["summary"]["goals"][goal]
    _, found, reached = row_of(words)
    value = float(found.rstrip(" %")) / (100 if found.endswith("%") else 1)
    assert value == pytest.approx(kept["value"], abs=0.6 * 10**-digits)
    assert reached == ("yes" if kept["reached"] else "no")


def test_how_many_goals_of_the_statistics_are_reached() -> None:
    rows = [
        each
        for part in record("coverage.json").values()
        if isinstance(part, list)
        for each in part
        if isinstance(each, dict)
    ]
    goals = [each[name] for each in rows for name in ("reached", "covered_reached") if name in each]
    assert f"Of {len(goals)} goals {sum(goals)} are reached." in PAGE
    missed = [100 * each["covered"] for each in rows if not each.get("covered_reached", True)]
    assert all(f"{each:.1f}" in PAGE for each in missed)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tutorial_job_32.json", "the tutorial's job at 32 px"),
        ("tutorial_job_224.json", "at 224 px"),
        ("tutorial_job_32_h200.json", "at 32 px on an H200"),
    ],
)
def test_the_tutorials_job(name: str, words: str) -> None:
    kept = record(name)
    for part, cells in (("probe", row_of(words)), ("compare", row_of("the same, whole", section=words))):
        goal, found, reached = cells[2:]
        assert float(goal.split()[0]) == kept[part]["goal"]
        assert float(found) == pytest.approx(kept[part]["ratio"]["median"], abs=0.5)
        assert reached == ("yes" if kept[part]["ratio"]["median"] >= kept[part]["goal"] else "no")


def best_peer(model: dict[str, Any]) -> float:
    """Return how many times as fast headstart was as the fastest of the others."""
    ratios = {name: each["ratio"]["median"] for name, each in model["contestants"].items()}
    return min(ratio for name, ratio in ratios.items() if name != "headstart")


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("JPEG files to features", ("embedding.json",)),
        ("the same, vit_small", ("embedding_vit.json",)),
        ("the same, resnet50", ("embedding_2000.json",)),
        ("in float32", ("embedding_fp32.json",)),
        ("the same on an H200", ("embedding_h200.json", "embedding_resnet50_h200.json")),
        ("6,000 files on an H200", ("embedding_6000_h200.json",)),
        ("training alone on an H200", ("fine_tuning_h200.json",)),
        ("photographs", ("photos_1000.json",)),
        ("fine-tuning against", ("fine_tuning.json",)),
    ],
)
def test_speed_against_the_best_peer(words: str, names: tuple[str, ...]) -> None:
    kept = [best_peer(model) for name in names for model in record(name)["models"]]
    said = [float(number) for number in re.findall(r"\d+(?:\.\d+)?", row_of(words)[3])]
    assert said == pytest.approx(kept, abs=0.06)


def test_several_networks_at_once() -> None:
    _, _, goal, found, reached = row_of("three networks at once")
    kept = record("many_models.json")
    assert float(found) == pytest.approx(kept["ratio"]["median"], abs=0.006)
    assert goal.endswith(f"{kept['goal']} times")
    assert reached == ("yes" if kept["ratio"]["median"] <= kept["goal"] else "no")


def test_memory_with_ten_times_as_many_pictures() -> None:
    held = {
        each["num_pictures"]: each["peak_bytes"]["the command"] for each in record("million.json")["results"]
    }
    tenfold, from_more = (held[1_000_000] / held[count] for count in (100_000, 300_000))
    _, found, reached = row_of("memory of the command")[-3:]
    assert found == f"{tenfold:.2f} times; {from_more:.2f} from 300,000 to a million"
    assert reached == ("yes" if tenfold < 1.1 else "no")


def test_the_service() -> None:
    kept = record("serving.json")["load"]
    fastest = min(each["median"] for each in kept["times_peer"].values())
    found = {"the service against": fastest, "the same against its": kept["of_offline"]["median"]}
    for words, value in found.items():
        goal, said, reached = row_of(words)[-3:]
        assert float(said) == pytest.approx(value, abs=0.05 if value > 1 else 0.005)
        assert reached == ("yes" if value >= float(goal) else "no")


def test_what_fine_tuning_adds() -> None:
    (turn,) = record("tuned_accuracy.json")["turns"]
    words, _, _, found, reached = row_of("points of accuracy")
    assert float(found) == pytest.approx(100 * turn["gain"]["value"], abs=0.06)
    assert words.endswith(f"in {turn['seconds']:.0f} s")
    assert reached == ("yes" if turn["gain"]["value"] >= 0.04 and turn["seconds"] < 600 else "no")
