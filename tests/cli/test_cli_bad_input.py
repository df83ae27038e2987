"""What goes wrong ends in an error and a hint, an exit code, and no traceback; and nothing is lost."""

import csv
import errno
import json
import os
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

DRAWN = ("cross", "disc")


def assert_clear_error(said, *, names: str, hint: str | None = None) -> None:
    """The outcome is one error of our own making, that names what it is about."""
    assert said.code == 1, said
    assert len(said.error_lines()) == 1, said.err
    assert names in said.error_lines()[0], said.err
    assert "Traceback" not in said.err
    assert "unforeseen" not in said.err
    if hint is not None:
        assert len(said.hint_lines()) == 1, said.err
        assert hint in said.hint_lines()[0], said.err


@pytest.fixture
def pictures(tmp_path: Path, draw_folder: Callable) -> Path:
    """Two classes of twelve pictures, to spoil."""
    return draw_folder(tmp_path / "pictures", per_class=12, kinds=DRAWN)


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory: pytest.TempPathFactory, tiny_models: tuple[str, str]) -> Path:
    """A model folder that knows two classes."""
    import headstart as hs
    from headstart.models import save_folder

    folder = tmp_path_factory.mktemp("saved") / "model"
    save_folder(hs.load(tiny_models[0], num_classes=2), folder)
    return folder


@pytest.mark.parametrize("command", ["compare", "embed", "probe"])
def test_options_that_contradict_each_other_are_told_before_pictures_are_read(
    headstart: Callable, pictures: Path, command: str
) -> None:
    said = headstart(command, pictures, "--plan", "exact", "--precision", "bf16")
    assert_clear_error(said, names="the exact plan computes in fp32, not in bf16", hint="--precision")
    assert "reading the pictures" not in said.err


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="Apple's GPU is here")
@pytest.mark.parametrize("command", ["compare", "embed", "probe"])
def test_a_device_that_is_not_here_is_told_before_pictures_are_read(
    headstart: Callable, pictures: Path, command: str
) -> None:
    said = headstart(command, pictures, "--device", "mps")
    assert_clear_error(said, names="device 'mps' is not usable here; usable: ", hint="--device auto")
    assert "reading the pictures" not in said.err


def bomb() -> bytes:
    """A PNG of a few dozen bytes that declares 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def truncated_jpeg(tmp_path: Path) -> bytes:
    path = tmp_path / "whole.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    path.unlink()
    return data[: len(data) // 2]


# ---- data sets that cannot be used ------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["compare", "probe", "embed", "check"])
def test_a_path_that_does_not_exist(
    headstart: Callable, pictures: Path, command: str, tiny_models: tuple[str, str]
) -> None:
    words = [] if command == "check" else ["--models", tiny_models[0]]
    said = headstart(command, pictures.parent / "picturs", *words)
    assert_clear_error(said, names="picturs", hint="pictures")


def test_a_folder_without_pictures(headstart: Callable, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("nothing")
    said = headstart("compare", "texts")
    assert_clear_error(said, names="no pictures in 'texts'", hint="expected FOLDER/CLASS/PICTURE")


def test_an_empty_folder(headstart: Callable, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_clear_error(headstart("check", "empty"), names="no pictures in 'empty'")


def test_pictures_without_class_folders(headstart: Callable, pictures: Path) -> None:
    said = headstart("compare", pictures / "cross")
    assert_clear_error(said, names="12 pictures but no class folders", hint="expected FOLDER/CLASS/PICTURE")


def test_one_class(headstart: Callable, pictures: Path) -> None:
    shutil.rmtree(pictures / "disc")
    assert_clear_error(headstart("compare", pictures), names="cross")


def test_a_class_with_one_picture(headstart: Callable, pictures: Path) -> None:
    for path in sorted((pictures / "disc").iterdir())[1:]:
        path.unlink()
    said = headstart("compare", pictures)
    assert_clear_error(said, names="disc")
    assert said.hint_lines()


def test_a_file_that_is_no_data_set(headstart: Callable, tmp_path: Path) -> None:
    (tmp_path / "notes.pdf").write_text("nothing")
    assert_clear_error(headstart("compare", "notes.pdf"), names="neither a folder nor a zip nor a CSV")


def write_table(folder: Path, *lines: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_labels_in_a_csv_that_point_nowhere(headstart: Callable, tmp_path: Path) -> None:
    table = write_table(tmp_path, "path,label", "gone/a.png,cat", "gone/b.png,dog")
    assert_clear_error(headstart("compare", table), names="'gone/a.png'", hint="relative paths start")


def test_some_labels_in_a_csv_point_nowhere(headstart: Callable, pictures: Path) -> None:
    rows = [f"{kind}/{index:04}.png,{kind}" for kind in DRAWN for index in range(12)]
    table = write_table(pictures, "path,label", *rows, "gone/a.png,disc")
    said = headstart("check", table, "--json")
    assert said.code == 0
    found = json.loads(said.out)
    assert found["num_pictures"] == 24
    assert [(each["id"], "line 26" in each["reason"]) for each in found["excluded"]] == [("gone/a.png", True)]


def test_csv_rows_that_contradict_each_other(headstart: Callable, pictures: Path) -> None:
    table = write_table(pictures, "path,label", "cross/0000.png,cross", "./cross/0000.png,disc")
    said = headstart("compare", table)
    assert_clear_error(said, names="two labels: 'cross' in line 2, 'disc' in line 3", hint="keep the right")


@pytest.mark.parametrize(
    "lines",
    [
        ("path,cat,dog", "cross/0000.png,1,0", "cross/0001.png,1,1"),
        ("path,label", "cross/0000.png,cat|dog", "cross/0001.png,dog", "cross/0002.png,cat"),
        ("path,label1,label2", "cross/0000.png,cat,dog", "cross/0001.png,dog,"),
    ],
)
def test_a_multi_label_csv_is_refused_by_name(headstart: Callable, pictures: Path, lines: tuple) -> None:
    said = headstart("compare", write_table(pictures, *lines))
    assert_clear_error(said, names="is a multi-label table", hint="give each picture one label")


def test_an_empty_csv(headstart: Callable, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"")
    assert_clear_error(headstart("compare", "table.csv"), names="table.csv", hint="path,label")


def test_a_csv_that_is_no_text(headstart: Callable, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"path,label\n\xff\xfe\x00.png,cat\n")
    assert_clear_error(headstart("compare", "table.csv"), names="not UTF-8")


# ---- pictures that cannot be used -------------------------------------------------------------------------


def spoil(folder: Path) -> dict[str, str]:
    """Put five broken files among the pictures; return a word of the reason by each one's id."""
    (folder / "cross" / "text.jpg").write_text("this is no picture\n")
    (folder / "cross" / "half.jpg").write_bytes(truncated_jpeg(folder.parent))
    (folder / "disc" / "empty.png").write_bytes(b"")
    (folder / "disc" / "bomb.png").write_bytes(bomb())
    (folder / "disc" / "gone.png").symlink_to(folder / "nowhere.png")
    return {
        "cross/half.jpg": "truncated",
        "cross/text.jpg": "not a picture",
        "disc/bomb.png": "too large",
        "disc/empty.png": "empty",
        "disc/gone.png": "No such file",
    }


def test_broken_pictures_are_left_out_by_name_and_the_run_goes_on(
    headstart: Callable, pictures: Path, tiny_models: tuple[str, str]
) -> None:
    reasons = spoil(pictures)
    said = headstart(
        *("compare", pictures, "--models", tiny_models[0], "--resolution", "32"),
        *("--max-unreadable", "0.3", "--out", "run", "--json"),
    )
    assert said.code == 0, said.err
    excluded = {each["id"]: each["reason"] for each in json.loads(said.out)["excluded"]}
    assert excluded.keys() == reasons.keys()
    for picture_id, reason in reasons.items():
        assert reason in excluded[picture_id]
        assert f"left out {picture_id}: " in said.err
    assert json.loads(said.out)["class_counts"] == [12, 12]
    report = Path("run/report.html").read_text(encoding="utf-8")
    assert all(picture_id in report for picture_id in reasons)


@pytest.mark.parametrize("command", ["compare", "probe", "embed"])
def test_too_many_broken_pictures_stop_the_run(
    headstart: Callable, pictures: Path, tiny_models: tuple[str, str], command: str
) -> None:
    spoil(pictures)
    said = headstart(command, pictures, "--models", tiny_models[0])
    assert_clear_error(said, names="5 of 29 pictures (17.2%) cannot be read", hint="--max-unreadable")
    assert not Path("headstart-runs").exists()


def test_predict_names_the_broken_ones_and_exits_with_1(
    headstart: Callable, pictures: Path, saved_model: Path
) -> None:
    reasons = spoil(pictures)
    said = headstart("predict", saved_model, pictures, "--csv")
    assert said.code == 1
    assert said.error_lines() == ["error: 5 of the pictures could not be read"]
    rows = list(csv.DictReader(said.out.splitlines()))
    assert len(rows) == 29
    broken = {row["path"].removeprefix(f"{pictures}/"): row for row in rows if row["error"]}
    assert broken.keys() == reasons.keys()
    assert all(reasons[name] in row["error"] and row["label"] == "" for name, row in broken.items())
    assert headstart("predict", saved_model, pictures, "--csv", "--keep-going").code == 0


def test_a_zip_whose_names_point_outside(headstart: Callable, pictures: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.write(pictures / "cross" / "0000.png", "cross/0000.png")
        archive.write(pictures / "disc" / "0000.png", "../disc/0000.png")
    for words in (["compare", "evil.zip"], ["check", "evil.zip"]):
        assert_clear_error(headstart(*words), names="'../disc/0000.png'", hint="do not trust this archive")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.zip", "pictures"]


def test_a_damaged_zip(headstart: Callable, tmp_path: Path) -> None:
    (tmp_path / "half.zip").write_bytes(b"PK\x03\x04 and nothing more")
    assert_clear_error(headstart("compare", "half.zip"), names="half.zip", hint="again")


# ---- names ------------------------------------------------------------------------------------------------

ODD_NAMES = (
    "two words.png",
    "it's.png",
    'a "quoted" one.png',
    "🦊 family 👩\u200d🌾.png",
    "n" * 246 + ".png",
    "ünïcödé <b>&amp;.png",
    "-rf.png",
    "semi;colon,comma$(echo).png",
)


@pytest.fixture
def odd(tmp_path: Path, draw_folder: Callable) -> Path:
    """Two classes with odd names, of pictures with odd names."""
    folder = draw_folder(tmp_path / "odd & 'names' 🦊", per_class=12, kinds=DRAWN)
    for kind, name in zip(DRAWN, ("a 'cross' & 🦊", "d" * 250), strict=True):
        for index, odd_name in enumerate(ODD_NAMES):
            (folder / kind / f"{index:04}.png").rename(folder / kind / odd_name)
        (folder / kind).rename(folder / name)
    return folder


def test_odd_names_through_the_whole_of_compare(
    headstart: Callable, odd: Path, tiny_models: tuple[str, str]
) -> None:
    said = headstart("compare", odd, "--models", tiny_models[0], "--resolution", "32", "--json")
    assert said.code == 0, said.err
    record = json.loads(said.out)
    assert record["class_names"] == ["a 'cross' & 🦊", "d" * 250]
    assert record["class_counts"] == [12, 12]
    assert record["excluded"] == []
    run = Path("headstart-runs") / odd.name
    assert (run / "report.html").is_file()
    predicted = headstart("predict", run / "model", odd, "--csv")
    assert predicted.code == 0, predicted.err
    rows = list(csv.DictReader(predicted.out.splitlines()))
    assert {Path(row["path"]).name for row in rows} >= set(ODD_NAMES)
    assert {row["label"] for row in rows} <= set(record["class_names"])


def test_control_characters_in_names_do_not_reach_the_terminal(
    headstart: Callable, pictures: Path, saved_model: Path, tiny_models: tuple[str, str]
) -> None:
    name = "red\x1b[31m\nsecond line\u202e.png"
    (pictures / "cross" / name).write_bytes(b"")
    for words in (
        ["check", pictures],
        ["compare", pictures, "--models", tiny_models[0], "--max-unreadable", "0"],
        ["predict", saved_model, pictures],
        ["predict", saved_model, pictures / "cross" / name / "nothing"],
    ):
        said = headstart(*words)
        assert not set("\x1b\u202e") & set(said.out + said.err)
        assert "\nsecond line" not in said.out + said.err


@pytest.mark.parametrize("first", "=+-@")
def test_cells_that_a_spreadsheet_would_run_are_disarmed(
    headstart: Callable,
    tmp_path: Path,
    draw_folder: Callable,
    tiny_models: tuple[str, str],
    saved_model: Path,
    first: str,
) -> None:
    kinds = (f"{first}1+1", f"{first}cmd")
    folder = draw_folder(tmp_path / f"{first}data", per_class=2, kinds=("cross", "disc"))
    for kind, name in zip(("cross", "disc"), kinds, strict=True):
        (folder / kind).rename(folder / name)
    model = ["--models", tiny_models[0], "--resolution", "32"]
    said = headstart("embed", f"./{folder.name}", *model, "--out", "vectors.csv")
    assert said.code == 0, said.err
    rows = list(csv.reader(Path("vectors.csv").read_text(encoding="utf-8").splitlines()))
    assert {row[1] for row in rows[1:]} == {f"'{kind}" for kind in kinds}
    assert all(row[0].startswith(f"'{first}") for row in rows[1:])

    picture = next((folder / kinds[0]).iterdir())
    shutil.copy(picture, tmp_path / f"{first}sum.png")
    words = ["--csv", "--", saved_model, f"{first}sum.png"]
    rows = list(csv.DictReader(headstart("predict", *words).out.splitlines()))
    assert [row["path"] for row in rows] == [f"'{first}sum.png"]


# ---- output and disk --------------------------------------------------------------------------------------


def test_output_that_cannot_be_written(
    headstart: Callable, pictures: Path, tiny_models: tuple[str, str], saved_model: Path
) -> None:
    Path("file").write_text("kept")
    model = ["--models", tiny_models[0], "--resolution", "32"]
    for words in (
        ["compare", pictures, *model, "--out", "file/run"],
        ["compare", pictures, *model, "--out", "file"],
        ["probe", pictures, *model, "--out", "file/run"],
        ["embed", pictures, *model, "--out", "file/vectors.npz"],
        ["embed", pictures, *model, "--out", "file/vectors.csv"],
        ["predict", saved_model, pictures, "--csv", "--out", "file/rows.csv"],
    ):
        assert_clear_error(headstart(*words), names="cannot write file")
    assert Path("file").read_text() == "kept"


def test_an_out_that_names_a_folder_where_a_file_is_meant(
    headstart: Callable, pictures: Path, tiny_models: tuple[str, str], saved_model: Path
) -> None:
    Path("taken.npz").mkdir()
    words = ["embed", pictures, "--models", tiny_models[0], "--resolution", "32", "--out", "taken.npz"]
    assert_clear_error(headstart(*words), names="cannot write taken.npz")
    assert_clear_error(headstart("predict", saved_model, pictures, "--out", "taken.npz"), names="taken.npz")
    assert list(Path("taken.npz").iterdir()) == []


def test_a_cache_that_cannot_be_written(
    headstart: Callable, pictures: Path, tiny_models: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").write_text("kept")
    monkeypatch.setenv("HEADSTART_HOME", str(Path("file").absolute() / "home"))
    said = headstart("compare", pictures, "--models", tiny_models[0], "--precision", "fp32")
    assert_clear_error(said, names="cannot write")


def remount(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def test_a_full_disk_while_caching(
    headstart: Callable,
    shapes: Path,
    tiny_models: tuple[str, str],
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADSTART_HOME", str(small_disk / "home"))
    words = ["embed", shapes, "--models", tiny_models[0], "--precision", "fp32", "--resolution", "32"]
    said = headstart(*words, "--json")  # 512 rows of 96 features fit, the other 28 do not
    assert_clear_error(said, names="No space left on device", hint="free some space")
    assert str(small_disk) in said.error_lines()[0]
    assert not list(small_disk.rglob("*.part"))
    remount(small_disk, "4m")
    again = headstart(*words, "--json")
    assert again.code == 0, again.err
    record = json.loads(again.out)
    assert (record["num_pictures"], record["num_computed"]) == (540, 28)


def test_a_full_disk_while_the_run_is_written(
    headstart: Callable, few_shapes: Path, tiny_models: tuple[str, str], small_disk: Path
) -> None:
    run = small_disk / "run"
    words = ["compare", few_shapes, "--models", tiny_models[0], "--out", run, "--resolution", "32"]
    said = headstart(*words)  # the model alone is larger than the disk
    assert_clear_error(said, names="No space left on device", hint="free some space")
    assert not list(small_disk.rglob("*.part"))
    remount(small_disk, "16m")
    again = headstart(*words)
    assert again.code == 0, again.err
    assert (run / "report.html").is_file()
    assert headstart("predict", run / "model", few_shapes).code == 0


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_without_root(
    headstart: Callable,
    few_shapes: Path,
    tiny_models: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    words = ["embed", few_shapes, "--models", tiny_models[0], "--precision", "fp32", "--resolution", "32"]
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        assert_clear_error(headstart(*words), names=os.strerror(code), hint="free some space")
    again = headstart(*words, "--json")
    assert json.loads(again.out)["num_computed"] == 45


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("words", [["models"], ["--help"], ["cache", "--json"]], ids=" ".join)
def test_stdout_on_a_full_disk(words: list[str]) -> None:
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "headstart", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[0] == "error: cannot write: No space left on device"
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


# ---- options and names of models --------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["compare", "probe", "embed"])
def test_an_unknown_model_is_told_before_pictures_are_read(
    headstart: Callable, few_shapes: Path, command: str
) -> None:
    said = headstart(command, few_shapes, "--models", "resnet5O")
    assert_clear_error(said, names="no model is called 'resnet5O'", hint="did you mean 'resnet50'?")
    assert "reading" not in said.err


def test_an_unknown_model_elsewhere(headstart: Callable, few_shapes: Path) -> None:
    for words in (["models", "resnet5O"], ["predict", "resnet5O", few_shapes], ["evaluate", "resnet5O", "x"]):
        assert_clear_error(headstart(*words), names="'resnet5O'", hint="did you mean 'resnet50'?")
    said = headstart("compare", few_shapes, "--models", "nothing-like-it*")
    assert_clear_error(said, names="no model fits the pattern 'nothing-like-it*'", hint="headstart models")


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--models", ""], "no model was named"),
        (["--models", " , "], "no model was named"),
        (["--resolution", "big"], "--resolution 'big'"),
        (["--resolution", ""], "--resolution ''"),
        (["--resolution", "-5"], "'-5'"),
        (["--resolution", "12.5"], "'12.5'"),
        (["--sample", "lots"], "--sample 'lots'"),
        (["--sample", "train=-1"], "--sample 'train=-1'"),
        (["--sample", "train=0"], "train=0"),
        (["--reference", "resnet50"], "'resnet50' is not among the candidates"),
    ],
    ids=str,
)
def test_options_that_cannot_be_used(
    headstart: Callable, few_shapes: Path, tiny_models: tuple[str, str], words: list[str], names: str
) -> None:
    said = headstart(
        "compare", few_shapes, *([] if "--models" in words else ["--models", tiny_models[0]]), *words
    )
    assert_clear_error(said, names=names)
    assert said.hint_lines()
    assert not Path("headstart-runs").exists()


@pytest.mark.parametrize("resolution", ["8", "5000", "99999999999999999999"])
def test_a_resolution_out_of_range(
    headstart: Callable, few_shapes: Path, tiny_models: tuple[str, str], resolution: str
) -> None:
    for command in ("compare", "probe", "embed"):
        said = headstart(command, few_shapes, "--models", tiny_models[0], "--resolution", resolution)
        assert_clear_error(said, names="must lie between 32 and 2048")


@pytest.mark.parametrize(
    "words",
    [
        ["compare"],
        ["compare", "digits", "--seed", "-1"],
        ["compare", "digits", "--seed", "zero"],
        ["compare", "digits", "--max-unreadable", "2"],
        ["compare", "digits", "--fit", "stretch"],
        ["compare", "digits", "--device", "tpu"],
        ["compare", "digits", "--no-such-option"],
        ["no-such-command"],
        ["predict", "efficientnet_lite0"],
        ["predict", "efficientnet_lite0", "x.png", "--top", "0"],
        ["cache", "--clear", "everything"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(headstart: Callable, words: list[str]) -> None:
    said = headstart(*words)
    assert said.code == 2
    assert said.out == ""
    assert "rror" in said.err
    assert "Traceback" not in said.err


def test_a_precision_and_device_that_are_not_here(
    headstart: Callable, few_shapes: Path, tiny_models: tuple[str, str]
) -> None:
    import torch

    missing = next(
        name
        for name, here in (("mps", torch.backends.mps.is_available()), ("cuda", torch.cuda.is_available()))
        if not here
    )
    said = headstart("embed", few_shapes, "--models", tiny_models[0], "--device", missing)
    assert_clear_error(said, names=f"'{missing}' is not usable here", hint="--device auto")


def test_embed_refuses_what_it_cannot_write_before_it_reads(headstart: Callable, few_shapes: Path) -> None:
    said = headstart("embed", few_shapes, "--out", "vectors.parquet")
    assert_clear_error(said, names="vectors.parquet")
    assert "reading" not in said.err
    assert_clear_error(headstart("embed", few_shapes, "--resolution", "96,128"), names="one resolution")


def test_csv_and_json_at_once(headstart: Callable, saved_model: Path) -> None:
    said = headstart("predict", saved_model, "x.png", "--csv", "--json")
    assert_clear_error(said, names="--csv and --json", hint="choose one")


def test_predict_without_anything_to_predict(headstart: Callable, saved_model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_clear_error(headstart("predict", saved_model, "-", stdin="\n"), names="no pictures are given")
    assert_clear_error(headstart("predict", saved_model, "empty"), names="no pictures in 'empty'")
    assert_clear_error(headstart("predict", saved_model, "gone.png"), names="'gone.png'")


def test_predict_leaves_no_half_file(headstart: Callable, saved_model: Path) -> None:
    headstart("predict", saved_model, "gone.png", "--out", "rows.txt")
    assert not Path("rows.txt").exists()


def test_evaluate_with_classes_the_model_does_not_know(
    headstart: Callable, few_shapes: Path, saved_model: Path
) -> None:
    said = headstart("evaluate", saved_model, few_shapes)
    assert_clear_error(said, names="does not know the class 'cross'", hint="it knows 2 classes")


def test_numbers_that_are_none(headstart: Callable) -> None:
    assert_clear_error(headstart("models", "--max-params", "many"), names="'many'", hint="30M")


# ---- offline, resuming, folders that are none --------------------------------------------------------------

NOT_HERE = "timm/resnet18.a1_in1k"


def test_a_model_that_cannot_be_fetched_is_a_failed_row(
    headstart: Callable, few_shapes: Path, tiny_models: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    both = ["--models", f"{tiny_models[0]},{NOT_HERE}", "--resolution", "32"]
    said = headstart("compare", few_shapes, *both, "--json")
    assert said.code == 0, said.err
    rows = {row["name"]: row["error"] for row in json.loads(said.out)["rows"]}
    assert rows[tiny_models[0]] == ""
    assert "HEADSTART_OFFLINE" in rows[NOT_HERE]


def test_when_all_models_fail_the_run_fails(
    headstart: Callable, few_shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    said = headstart("compare", few_shapes, "--models", NOT_HERE)
    assert_clear_error(said, names="no candidate could be trained")
    assert "HEADSTART_OFFLINE" in said.error_lines()[0] + "".join(said.hint_lines())
    for command, words in (("embed", ["--models", NOT_HERE]), ("probe", ["--models", NOT_HERE])):
        assert_clear_error(headstart(command, few_shapes, *words), names="HEADSTART_OFFLINE")
    assert_clear_error(headstart("predict", NOT_HERE, few_shapes), names="HEADSTART_OFFLINE")


def test_a_run_does_not_resume_in_a_folder_of_something_else(
    headstart: Callable, few_shapes: Path, tiny_models: tuple[str, str]
) -> None:
    Path("full").mkdir()
    Path("full/thesis.doc").write_text("kept")
    words = ["compare", few_shapes, "--models", tiny_models[0], "--resolution", "32"]
    assert_clear_error(headstart(*words, "--out", "full"), names="is not a run of headstart", hint="--out")
    assert [path.name for path in Path("full").iterdir()] == ["thesis.doc"]

    assert headstart(*words, "--out", "run").code == 0
    before = Path("run/comparison.json").read_bytes()
    said = headstart(*words, "--seed", "1", "--out", "run")
    assert_clear_error(said, names="holds a run with other settings", hint="--out")
    assert Path("run/comparison.json").read_bytes() == before


def test_report_of_what_is_no_run(headstart: Callable, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "nowhere"):
        assert_clear_error(headstart("report", folder), names=f"{folder} holds no comparison")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "comparison.json").write_text("{")
    assert_clear_error(headstart("report", "broken"), names="not valid JSON")
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_model_folder_that_is_damaged(headstart: Callable, saved_model: Path, few_shapes: Path) -> None:
    shutil.copytree(saved_model, "damaged")
    weights = Path("damaged/model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    said = headstart("predict", "damaged", few_shapes)
    assert said.code == 1
    assert len(said.error_lines()) == 1
    assert "unforeseen" not in said.err
    Path("damaged/headstart.json").write_text("[]")
    said = headstart("predict", "damaged", few_shapes)
    assert said.code == 1
    assert "unforeseen" not in said.err
