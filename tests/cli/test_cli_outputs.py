"""What every command prints: for people, for programs, and into files."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

SMALL = ("--resolution", "32", "--precision", "fp32")


@pytest.fixture(scope="module")
def run_folder(
    tmp_path_factory: pytest.TempPathFactory, few_shapes: Path, tiny_models: tuple[str, str]
) -> Path:
    """A finished comparison of two tiny models, made by the command itself."""
    folder = tmp_path_factory.mktemp("runs") / "few"
    words = ["compare", few_shapes, "--models", ",".join(tiny_models), *SMALL, "--out", folder]
    ended = subprocess.run(
        [sys.executable, "-m", "headstart", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "HEADSTART_HOME": str(tmp_path_factory.mktemp("home"))},
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    (folder.parent / "said.txt").write_text(ended.stdout, encoding="utf-8")
    return folder


# ---- models -----------------------------------------------------------------------------------------------


def test_models_lists_all_rows_as_plain_text_when_piped(headstart: Callable) -> None:
    from headstart.catalog import list_models

    said = headstart("models")
    lines = said.out.splitlines()
    assert said.code == 0
    assert [line.split()[0] for line in lines] == [entry.name for entry in list_models()]
    assert len(lines) > 1000
    assert "\x1b" not in said.out
    assert said.err == f"{len(lines)} models\n"


def test_models_on_a_terminal_shows_forty_and_a_count() -> None:
    pty = pytest.importorskip("pty", reason="only Unix has terminals to make")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "headstart", "models"], stdout=theirs, stderr=subprocess.PIPE, text=True
    ) as running:
        os.close(theirs)
        text = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # Linux's way of telling that the other end is closed
                break
            if not piece:
                break
            text += piece
        err = running.stderr.read() if running.stderr else ""
    os.close(ours)
    assert running.returncode == 0
    assert len(text.decode().splitlines()) == 40
    assert "models in all" in err


def test_models_filters(headstart: Callable) -> None:
    rows = json.loads(headstart("models", "resnet*", "--max-params", "12M", "--json").out)
    assert rows
    assert all(0 < row["num_params"] <= 12e6 for row in rows)
    assert all(row["architecture"].startswith("resnet") for row in rows)
    assert all(
        row["provider"] == "timm"
        for row in json.loads(headstart("models", "--provider", "timm", "--json").out)
    )


def test_models_available_are_those_on_this_machine(
    headstart: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.catalog import find_model, weights_state

    names = [line.split()[0] for line in headstart("models", "--available").out.splitlines()]
    assert len(names) < 100
    assert all(weights_state(find_model(name)) != "missing" for name in names)


def test_a_models_card(headstart: Callable) -> None:
    said = headstart("models", "resnet50")
    assert said.code == 0
    for label in ("name", "parameters", "preprocessing", "weights", "sha256", "licence", "paper"):
        assert any(line.startswith(f"{label} ") for line in said.out.splitlines()), label
    assert "px" in said.out
    record = json.loads(headstart("models", "resnet50", "--json").out)
    assert record["state"] in ("package", "cached", "file", "missing")
    assert record["entry"]["name"] in said.out


def test_a_pattern_that_fits_nothing_lists_nothing(headstart: Callable) -> None:
    said = headstart("models", "nothing-like-it*")
    assert (said.code, said.out, said.err) == (0, "", "0 models\n")


def test_a_reader_that_has_seen_enough_sees_no_traceback() -> None:
    shell = f"'{sys.executable}' -m headstart models | head -1"
    ended = subprocess.run(shell, shell=True, capture_output=True, text=True, check=False)
    assert len(ended.stdout.splitlines()) == 1
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    assert "error" not in ended.stderr


# ---- compare, probe, report, evaluate ---------------------------------------------------------------------


def test_compare_says_ranking_choice_and_what_is_next(run_folder: Path, tiny_models: tuple[str, str]) -> None:
    text = (run_folder.parent / "said.txt").read_text(encoding="utf-8")
    for name in tiny_models:
        assert name in text
    for begin in ("chosen: ", "why: ", "how good: ", "model: ", "report: ", "next: headstart predict "):
        assert sum(line.startswith(begin) for line in text.splitlines()) == 1, begin
    assert (run_folder / "report.html").is_file()
    assert (run_folder / "model" / "model.safetensors").is_file()


def test_compare_again_is_the_same_comparison(
    headstart: Callable, run_folder: Path, few_shapes: Path, tiny_models: tuple[str, str]
) -> None:
    words = ["compare", few_shapes, "--models", ",".join(tiny_models), *SMALL, "--out", run_folder, "--json"]
    said = headstart(*words)
    assert said.code == 0
    assert json.loads(said.out)["chosen"] in tiny_models
    assert "embedding" not in said.err


def test_probe(headstart: Callable, few_shapes: Path, tiny_models: tuple[str, str]) -> None:
    said = headstart("probe", few_shapes, "--models", tiny_models[1], *SMALL, "--json")
    assert said.code == 0, said.err
    record = json.loads(said.out)
    assert record["chosen"] == tiny_models[1]
    assert len(record["rows"]) == 1
    assert Path("headstart-runs/few/model/headstart.json").is_file()
    assert Path("headstart-runs/few/report.html").is_file()


def test_report_goes_where_it_is_asked_to(headstart: Callable, run_folder: Path) -> None:
    said = headstart("report", run_folder, "-o", "deep/down/my report.html")
    assert said.code == 0
    assert said.out == "deep/down/my report.html\n"
    assert "<html" in Path("deep/down/my report.html").read_text(encoding="utf-8")
    assert headstart("report", run_folder).out == f"{run_folder / 'report.html'}\n"


def test_evaluate_the_saved_model(headstart: Callable, run_folder: Path, few_shapes: Path) -> None:
    said = headstart("evaluate", run_folder / "model", few_shapes, "--precision", "fp32", "--json")
    assert said.code == 0, said.err
    record = json.loads(said.out)
    assert record["n"] == 45
    assert record["accuracy"]["low"] <= record["accuracy"]["value"] <= record["accuracy"]["high"]
    text = headstart("evaluate", run_folder / "model", few_shapes, "--precision", "fp32").out
    assert f"accuracy           {record['accuracy']['value']:.4f}" in text
    assert "on 45 pictures" in text


# ---- check ------------------------------------------------------------------------------------------------


def test_check_finds_what_is_wrong(headstart: Callable, tmp_path: Path, draw_folder: Callable) -> None:
    folder = draw_folder(tmp_path / "data", per_class=4, kinds=("cross", "disc"))
    (folder / "disc" / "copy.png").write_bytes((folder / "cross" / "0000.png").read_bytes())
    (folder / "disc" / "text.jpg").write_text("no picture")
    said = headstart("check", folder)
    assert said.code == 0
    assert "disc/text.jpg" in said.out
    record = json.loads(headstart("check", folder, "--json").out)
    assert record["num_pictures"] == 9
    assert record["duplicates"] == record["conflicts"] == [["cross/0000.png", "disc/copy.png"]]
    assert record["num_unreadable"] == 1
    assert all(finding in said.out for finding in record["findings"])


# ---- embed ------------------------------------------------------------------------------------------------


def test_embed_writes_npz_and_csv_with_the_same_vectors(
    headstart: Callable, few_shapes: Path, tiny_models: tuple[str, str]
) -> None:
    words = ["embed", few_shapes, "--models", tiny_models[0], *SMALL]
    first = json.loads(headstart(*words, "--out", "x.npz", "--json").out)
    assert (first["num_pictures"], first["num_computed"], first["out"]) == (45, 45, "x.npz")
    second = headstart(*words, "--out", "x.csv")
    assert "45 pictures x 96 features" in second.out
    assert "(0 computed, 45 from the cache)" in second.out
    assert "written to x.csv" in second.out
    with np.load("x.npz") as arrays:  # without pickles
        features, ids, labels, names = (arrays[key] for key in ("features", "ids", "labels", "class_names"))
    rows = list(csv.reader(Path("x.csv").read_text(encoding="utf-8").splitlines()))
    assert rows[0] == ["id", "class", *(f"f{index}" for index in range(96))]
    assert [row[0] for row in rows[1:]] == ids.tolist()
    assert [row[1] for row in rows[1:]] == names[labels].tolist()
    np.testing.assert_array_equal(np.array([row[2:] for row in rows[1:]], np.float32), features)


# ---- predict ----------------------------------------------------------------------------------------------


def test_predict_in_every_form(headstart: Callable, run_folder: Path, few_shapes: Path) -> None:
    model = run_folder / "model"
    text = headstart("predict", model, few_shapes, "--top", "2")
    assert text.code == 0, text.err
    lines = [line.split("\t") for line in text.out.splitlines()]
    rows = list(
        csv.DictReader(headstart("predict", model, few_shapes, "--csv", "--top", "2").out.splitlines())
    )
    records = [
        json.loads(line) for line in headstart("predict", model, few_shapes, "--json").out.splitlines()
    ]
    assert len(lines) == len(rows) == len(records) == 45
    for (path, said), row, record in zip(lines, rows, records, strict=True):
        assert path == row["path"] == record["path"]
        assert row["label"] == record["label"] == record["top"][0]["label"]
        assert float(row["probability"]) == pytest.approx(record["probability"], abs=1e-6)
        for shown, rank in zip(said.split(", "), ("", "_2"), strict=True):
            label, _, probability = shown.rpartition(" ")
            assert label == row[f"label{rank}"]
            # Both are rounded, the text to three digits.
            assert float(probability) == pytest.approx(float(row[f"probability{rank}"]), abs=0.000501)
        assert row["error"] == record["error"] == ""
        assert float(row["probability"]) >= float(row["probability_2"])


def test_predict_reads_paths_from_stdin_and_writes_a_file(
    headstart: Callable, run_folder: Path, few_shapes: Path
) -> None:
    paths = [str(few_shapes / "disc" / f"{index:04}.png") for index in (2, 0)]
    said = headstart("predict", run_folder / "model", "-", "--csv", "--out", "o.csv", stdin="\n".join(paths))
    assert said.code == 0, said.err
    assert said.out == ""
    rows = list(csv.DictReader(Path("o.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["path"] for row in rows] == paths


@pytest.mark.parametrize("separator", ["\r\n", "\0"])
def test_paths_from_stdin_as_other_programs_write_them(
    headstart: Callable, run_folder: Path, few_shapes: Path, tmp_path: Path, separator: str
) -> None:
    """Windows ends lines with two characters, 'find -print0' ends names with a zero byte."""
    odd = tmp_path / ("line\nbreak.png" if separator == "\0" else "plain.png")
    odd.write_bytes((few_shapes / "disc" / "0000.png").read_bytes())
    paths = [str(odd), str(few_shapes / "disc" / "0001.png")]
    stdin = "".join(path + separator for path in paths)
    said = headstart("predict", run_folder / "model", "-", "--json", stdin=stdin)
    assert said.code == 0, said.err
    assert [json.loads(line)["path"] for line in said.out.splitlines()] == paths


def test_a_picture_in_place_of_paths_is_told(headstart: Callable, run_folder: Path) -> None:
    said = headstart("predict", run_folder / "model", "-", stdin="\x89PNG" + 300 * "x" + "\n")
    assert said.code == 1
    assert said.error_lines() == ["error: stdin holds something else than paths"]


def test_a_folder_in_place_of_the_output_is_told_at_once(
    headstart: Callable, run_folder: Path, few_shapes: Path, tmp_path: Path
) -> None:
    for words in (("--csv", "--out", tmp_path), ("--parquet", tmp_path)):
        said = headstart("predict", run_folder / "model", few_shapes / "disc", *words)
        assert said.code == 1
        assert said.error_lines() == [f"error: cannot write {tmp_path}: it is a folder"]
        assert said.out == ""


def test_a_folder_without_a_model(headstart: Callable, few_shapes: Path, tmp_path: Path) -> None:
    said = headstart("predict", tmp_path, few_shapes / "disc")
    assert said.code != 0
    assert "it has no headstart.json" in said.err


def test_predict_more_classes_than_there_are(headstart: Callable, run_folder: Path, few_shapes: Path) -> None:
    picture = few_shapes / "disc" / "0000.png"
    said = headstart("predict", run_folder / "model", picture, "--csv", "--top", "9")
    (row,) = csv.DictReader(said.out.splitlines())
    shares = [float(row[name]) for name in ("probability", "probability_2", "probability_3")]
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert None not in row, "more cells than headings"


def test_predict_says_unknown_below_a_threshold(
    headstart: Callable, run_folder: Path, few_shapes: Path
) -> None:
    words = ["predict", run_folder / "model", few_shapes / "disc"]
    named = [json.loads(line) for line in headstart(*words, "--json", "--threshold", "none").out.splitlines()]
    middle = sorted(row["probability"] for row in named)[7]
    records = [
        json.loads(line) for line in headstart(*words, "--json", "--threshold", middle).out.splitlines()
    ]
    table = csv.DictReader(headstart(*words, "--csv", "--threshold", f"{100 * middle}%").out.splitlines())
    text = headstart(*words, "--threshold", middle).out.splitlines()
    assert sum(record["unknown"] for record in records) == 7
    for before, record, row, line in zip(named, records, table, text, strict=True):
        assert record["best"] == row["best"] == before["best"] == before["label"]
        assert record["label"] == row["label"] == ("unknown" if record["unknown"] else before["best"])
        assert float(row["probability"]) == pytest.approx(before["probability"], abs=1e-6)
        assert ("\tunknown (" in line) == record["unknown"]
    for wrong in ("high", "2", "-1%", ""):
        said = headstart(*words, "--threshold", wrong)
        assert said.code == 1, wrong
        assert said.err.startswith("error: ")


@pytest.mark.slow
def test_predict_warns_of_pictures_unlike_those_of_training(
    headstart: Callable, few_shapes: Path, draw_noise: Callable[..., Path]
) -> None:
    noise = draw_noise(Path("noise"), count=12)
    assert headstart("probe", few_shapes, "--resolution", "64", "--plan", "exact", "--out", "run").code == 0
    said = headstart("predict", "run", noise, "--csv")
    flags = [row["unlike"] for row in csv.DictReader(said.out.splitlines())]
    assert set(flags) <= {"yes", "no"}
    assert said.code == 0
    assert f"warning: {flags.count('yes')} of 12 pictures are unlike" in said.err
    lines = headstart("predict", "run", noise).out.splitlines()
    assert sum("\tunlike the training pictures" in line for line in lines) == flags.count("yes")
    assert "warning" not in headstart("predict", "run", few_shapes).err


def test_predict_writes_parquet(
    headstart: Callable, run_folder: Path, few_shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("headstart.cli.predict_output._ROWS_PER_GROUP", 20)
    Path("text.jpg").write_text("no picture")
    words = ["predict", run_folder, few_shapes, "text.jpg", "--keep-going", "--top", "2"]
    said = headstart(*words, "--parquet", "rows.parquet")
    assert (said.code, said.out) == (0, ""), said.err
    records = [json.loads(line) for line in headstart(*words, "--json").out.splitlines()]
    file = parquet.ParquetFile("rows.parquet")
    assert file.metadata.num_row_groups == 3
    assert file.read().to_pylist() == records
    assert len(records) == 46
    assert records[-1]["label"] is None
    assert [path.name for path in Path().iterdir() if path.suffix == ".part"] == []


def test_parquet_of_nothing_readable_and_to_nowhere(headstart: Callable, run_folder: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    Path("text.jpg").write_text("no picture")
    said = headstart("predict", run_folder, "text.jpg", "--parquet", "rows.parquet")
    assert said.code == 1
    assert parquet.read_table("rows.parquet").num_rows == 1
    for words in (["--csv"], ["--json"], ["--out", "b"]):
        said = headstart("predict", run_folder, "text.jpg", "--parquet", "a", *words)
        assert said.code == 1
        assert f"{'--parquet' if '--out' in words else words[0]} and" in said.err
    said = headstart("predict", run_folder, "text.jpg", "--parquet", "text.jpg/rows.parquet")
    assert said.err.startswith("error: cannot write")


def test_without_pyarrow_its_extra_is_named(
    headstart: Callable, run_folder: Path, few_shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    said = headstart("predict", run_folder, few_shapes, "--parquet", "rows.parquet")
    assert said.code == 1
    assert "headstart[parquet]" in said.err
    assert not Path("rows.parquet").exists()


def test_predict_of_an_unreadable_picture(headstart: Callable, run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    words = ["predict", run_folder / "model", "text.jpg"]
    said = headstart(*words)
    assert said.code == 1
    assert said.out.startswith("text.jpg\tcannot be read: not a picture")
    assert headstart(*words, "--keep-going").code == 0
    record = json.loads(headstart(*words, "--json").out)
    assert (record["label"], record["probability"], record["top"]) == (None, None, [])
    assert record["error"].startswith("not a picture")


# ---- cache and doctor -------------------------------------------------------------------------------------


def test_cache_shows_sizes_and_clears(
    headstart: Callable, few_shapes: Path, tiny_models: tuple[str, str], own_home: Path
) -> None:
    assert headstart("embed", few_shapes, "--models", tiny_models[0], *SMALL).code == 0
    before = json.loads(headstart("cache", "--json").out)
    assert before["home"] == str(own_home)
    assert before["size_bytes"]["embeddings"] > 45 * 96 * 4
    assert [space["what"] for space in before["embeddings"]] == [
        "timm/test_resnet, 32x32 crop, pooled, fp32, fast plan"
    ]
    assert json.loads(headstart("cache", "--prune", "1GB", "--json").out) == before
    assert headstart("cache", "--clear", "weights").code == 0
    assert json.loads(headstart("cache", "--json").out) == before
    cleared = headstart("cache", "--clear", "all", "--json")
    assert json.loads(cleared.out)["size_bytes"] == {
        "embeddings": 0,
        "weights": 0,
        "datasets": 0,
        "plans": 0,
    }
    assert "deleted" in cleared.err
    assert not (own_home / "embeddings").exists()
    text = headstart("cache").out
    assert str(own_home) in text
    assert "embeddings" in text


def test_doctor_offline_asks_no_host(headstart: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a host was asked")

    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    monkeypatch.setattr(socket, "create_connection", refuse)
    said = headstart("doctor", "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert found["hosts that answer"] == "not asked: HEADSTART_OFFLINE is set"
    assert found["cores"] >= 1
    assert found["packages"]["torch"] != "missing"
    assert set(found["extras"]) >= {"starter", "heif"}
    for name in ("machine", "instruction sets", "GPU", "free disk", "cache", "compiler", "drop-in"):
        assert name in found
    text = headstart("doctor").out
    assert all(name in text for name in found)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_predict_to_a_full_disk(run_folder: Path, few_shapes: Path) -> None:
    picture = few_shapes / "disc" / "0000.png"  # one line: it is written when the command ends
    words = [sys.executable, "-m", "headstart", "predict", str(run_folder / "model"), str(picture)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            words, stdout=full, stderr=subprocess.PIPE, text=True, env=environment, check=False
        )
    assert ended.returncode == 1
    assert "error: cannot write: No space left on device" in ended.stderr.splitlines()
    assert "Exception ignored" not in ended.stderr


# ---- odd surroundings -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_terminal_that_cannot_show_a_name(process: Callable, tmp_path: Path, draw_folder: Callable) -> None:
    folder = draw_folder(tmp_path / "data", per_class=2, kinds=("cross", "disc"))
    (folder / "disc" / "🦊.png").write_bytes(b"")
    said = process("check", folder, PYTHONIOENCODING="latin-1")
    assert said.code == 0, said.err
    assert "\\U0001f98a.png" in said.out


def test_a_fault_of_ours_is_called_one(headstart: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    import headstart.cli.cache_command as module

    def fail() -> Path:
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(module, "embeddings_dir", fail)
    said = headstart("cache")
    assert said.code == 1
    assert said.error_lines() == ["error: something unforeseen happened: ZeroDivisionError: on purpose"]
    assert "HEADSTART_TRACEBACK=1" in said.hint_lines()[0]
