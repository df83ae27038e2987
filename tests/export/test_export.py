"""What is written says what the classifier says, carries the proof, and works without headstart."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_classifier import CLASSES, Made

import headstart as hs
from headstart.core.errors import InputError, ModelError
from headstart.embed import PlanOptions
from headstart.export import ExportOptions, exporting
from headstart.export.records import SUFFIXES, Parity
from headstart.models import Classifier

WITH_PREPROCESSING = (("t.onnx", True), ("t.pt2", True), ("t.xml", False), ("t.safetensors", False))
each_format = pytest.mark.parametrize(("name", "include"), WITH_PREPROCESSING)


def own_rows(made: Made) -> dict[str, tuple[str, float]]:
    rows = hs.predict(made.classifier, made.pictures, options=PlanOptions(plan="exact", precision="fp32"))
    return {row.path: (row.label, row.probability) for row in rows if not row.error}


def run_program(program: Path, pictures: list[str]) -> dict[str, tuple[str, float]]:
    """Run a program in a process that has no headstart."""
    without = (
        "import runpy, sys; sys.modules['headstart'] = sys.modules['pretrainedmodels'] = None; "
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-W", "error", "-c", without, str(program), *pictures]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return {path: (label, float(probability)) for path, label, probability in rows}


@each_format
def test_the_proof(write: Callable[..., Made], name: str, include: bool) -> None:
    exported = write(name, include_preprocessing=include).exported
    parity = exported.parity
    assert exported.format == SUFFIXES[exported.path.suffix]
    assert parity.largest_difference < 1e-3
    assert parity.agreement.value == 1
    assert parity.accuracy == parity.own_accuracy
    assert parity.accuracy is not None
    assert 0 < parity.accuracy.low < parity.accuracy.value < parity.accuracy.high < 1
    assert parity.loss is not None
    assert parity.loss.value == 0
    assert parity.num_pictures == 25  # those that can be read
    assert exported.size_bytes > 100_000


@each_format
def test_the_program_beside_it_needs_no_headstart(
    write: Callable[..., Made], name: str, include: bool
) -> None:
    made = write(name, include_preprocessing=include)
    expected = own_rows(made)
    assert len({label for label, _ in expected.values()}) > 1, "the classifier tells nothing apart"
    found = run_program(made.exported.program, sorted(expected))
    assert set(found) == set(expected)
    for path, (label, probability) in expected.items():
        assert found[path][0] == label
        assert found[path][1] == pytest.approx(probability, abs=1e-3)
    code = made.exported.program.read_text(encoding="utf-8")
    assert len([line for line in code.splitlines() if line.strip()]) < 30
    compile(code, "program", "exec")


def metadata_of(path: Path) -> dict[str, str]:
    """Read the texts in a file by the means of its own format."""
    if path.suffix == ".onnx":
        import onnx

        return {each.key: each.value for each in onnx.load(path).metadata_props}
    if path.suffix == ".xml":
        import openvino

        model = openvino.Core().read_model(path)
        names = ("parity", "class_names", "input", "temperature")
        return {name: model.get_rt_info(["headstart", name]).astype(str) for name in names}
    if path.suffix == ".safetensors":
        import safetensors

        with safetensors.safe_open(path, "pt") as file:
            return dict(file.metadata())
    import torch

    texts = {"headstart.json": ""}
    torch.export.load(path, extra_files=texts)
    return dict(json.loads(texts["headstart.json"]))


@each_format
def test_the_proof_is_in_the_file(write: Callable[..., Made], name: str, include: bool) -> None:
    exported = write(name, include_preprocessing=include).exported
    texts = metadata_of(exported.path)
    parity = json.loads(texts["parity"])
    assert parity["largest_difference"] == exported.parity.largest_difference
    assert parity["num_pictures"] == 25
    assert parity["accuracy"]["low"] == exported.parity.accuracy.low
    assert json.loads(texts["class_names"]) == list(CLASSES)
    assert ("uint8" in texts["input"]) == include
    assert float(texts["temperature"]) == 1.7


@each_format
def test_nothing_of_this_machine_is_in_the_file(write: Callable[..., Made], name: str, include: bool) -> None:
    path = write(name, include_preprocessing=include).exported.path
    content = path.read_bytes()
    assert b"site-packages" not in content
    assert b"headstart/src" not in content
    assert b"picture_input.py" not in content
    names = {each.name for each in path.parent.iterdir()}
    assert names == {name, f"{name}.py", *(["t.bin"] if name == "t.xml" else [])}


def test_any_number_of_pictures_of_any_size(write: Callable[..., Made]) -> None:
    from headstart.export import onnx_file, torch_file

    generator = np.random.default_rng(0)
    runs = [
        onnx_file.load(write("t.onnx", include_preprocessing=True).exported.path),
        torch_file.load(write("t.pt2", include_preprocessing=True).exported.path),
    ]
    for shape in ((1, 1, 1, 3), (3, 40, 700, 3), (5, 64, 64, 3)):
        pictures = generator.integers(0, 256, shape, dtype=np.uint8)
        first, second = (run(pictures) for run in runs)
        assert first.shape == (shape[0], 3)
        assert np.allclose(first.sum(1), 1, atol=1e-5)
        assert np.allclose(first, second, atol=1e-5)


def test_int8_is_smaller_and_says_what_it_lost(write: Callable[..., Made]) -> None:
    exported = write("t8.onnx", quantize="int8", max_loss=1.0).exported
    gain = exported.gain
    assert gain is not None
    assert gain.num_calibration == 8
    assert gain.weight_bits == 7
    assert exported.size_bytes < gain.size_bytes
    assert gain.speedup == gain.latency_ms / gain.int8_latency_ms
    assert exported.parity.largest_difference > 1e-4, "nothing was quantised"
    assert exported.parity.loss is not None
    texts = metadata_of(exported.path)
    assert json.loads(texts["int8"])["speedup"] == gain.speedup
    kinds = [node.op_type for node in _nodes(exported.path)]
    assert "QuantizeLinear" in kinds
    assert kinds[-1] == "Softmax"
    with pytest.raises(ModelError, match="int8 file was not kept") as caught:
        write("t8.onnx", quantize="int8", max_loss=-1.0)
    assert "--max-loss" in caught.value.hint


def test_where_7_bits_lose_too_much_8_are_tried(
    write: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Parity] = []

    def lost(parity: Parity) -> float:
        seen.append(parity)
        return 2.0 if len(seen) == 1 else 0.0

    monkeypatch.setattr(exporting, "lost", lost)
    exported = write("t8.onnx", quantize="int8", max_loss=0.9).exported
    assert json.loads(metadata_of(exported.path)["int8"])["weight_bits"] == 8
    assert exported.parity is seen[1]
    assert seen[0].largest_difference != seen[1].largest_difference


def _nodes(path: Path) -> list[object]:
    import onnx

    return list(onnx.load(path).graph.node)


def test_a_file_that_differs_is_not_kept(tiny: Classifier, photos: Path, tmp_path: Path) -> None:
    kept = tmp_path / "t.safetensors"
    kept.write_bytes(b"an earlier file")
    with pytest.raises(ModelError, match="was not kept: a probability differs by") as caught:
        hs.export(tiny, kept, pictures=str(photos), options=ExportOptions(tolerance=-1.0))
    assert "--tolerance" in caught.value.hint
    assert kept.read_bytes() == b"an earlier file"
    assert [each.name for each in tmp_path.iterdir()] == ["t.safetensors"]


def test_pictures_are_made_where_none_are_given(tiny: Classifier, tmp_path: Path) -> None:
    parity = hs.export(tiny, tmp_path / "t.safetensors").parity
    assert "made for it" in parity.pictures
    assert parity.accuracy is None
    assert parity.num_pictures == 32


def test_pictures_without_labels(tiny: Classifier, photos: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted(photos.rglob("*.*"))):
        (flat / f"{number}{path.suffix}").write_bytes(path.read_bytes())
    parity = hs.export(tiny, tmp_path / "t.safetensors", pictures=str(flat)).parity
    assert parity.accuracy is None
    assert parity.loss is None
    assert parity.num_pictures == 25
    limited = ExportOptions(max_pictures=5)
    again = hs.export(tiny, tmp_path / "t.safetensors", pictures=str(flat), options=limited)
    assert again.parity.num_pictures in (4, 5)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("t.model", {}, "says no format by its suffix"),
        ("t.onnx", {"format": "torch"}, "does not end in .pt2"),
        ("t.pt2", {"quantize": "int8"}, "int8 is for ONNX only"),
        ("t.onnx", {"quantize": "int8"}, "none were given"),
        ("t.onnx", {"quantize": "int4"}, "'int4' cannot be quantised to"),
        ("t.onnx", {"format": "caffe"}, "'caffe' is no format"),
        ("t.onnx", {"max_pictures": 0}, "a proof on 0 pictures"),
        ("t.safetensors", {"include_preprocessing": True}, "no preprocessing"),
    ],
)
def test_options_that_cannot_be(
    tiny: Classifier, tmp_path: Path, name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        hs.export(tiny, tmp_path / name, options=ExportOptions(**options))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_network_without_classes_is_told_what_to_do(tmp_path: Path) -> None:
    features = hs.load("timm/test_resnet+timm/test_efficientnet", weights=None)
    with pytest.raises(ModelError, match="no classifier of its own") as caught:
        hs.export(features, tmp_path / "t.onnx")
    assert "headstart probe" in caught.value.hint


def test_a_folder_is_no_file(tiny: Classifier, tmp_path: Path) -> None:
    (tmp_path / "t.onnx").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        hs.export(tiny, tmp_path / "t.onnx")


def test_tensors_of_networks_that_no_library_builds(tmp_path: Path) -> None:
    for classifier in (
        hs.load("timm/test_resnet+timm/test_efficientnet", weights=None, num_classes=3),
        hs.load("torchvision/squeezenet1_1", weights=None, num_classes=3),  # a probe on its pooled features
    ):
        with pytest.raises(ModelError, match="no library but headstart builds") as caught:
            hs.export(classifier, tmp_path / "t.safetensors")
        assert "onnx" in caught.value.hint


@pytest.mark.parametrize(
    "name",
    [
        "torchvision/squeezenet1_1",
        pytest.param("pretrainedmodels/resnet18", marks=pytest.mark.slow),
        pytest.param("timm/vit_tiny_patch16_224", marks=pytest.mark.slow),
    ],
)
def test_tensors_have_the_names_of_their_library(name: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    classifier = hs.load(name, weights=None)
    exported = hs.export(classifier, tmp_path / "t.safetensors", options=ExportOptions(max_pictures=3))
    library, _, architecture = name.partition("/")
    module = __import__(library)
    network = (
        module.create_model(architecture)
        if library == "timm"
        else module.models.get_model(architecture)
        if library == "torchvision"
        else getattr(module, architecture)(pretrained=None)
    )
    network.load_state_dict(load_file(tmp_path / "t.safetensors"))
    assert exported.parity.largest_difference < 1e-5


REPORTING = """
import sys
from pathlib import Path
asked = []
sys.addaudithook(lambda event, given: asked.append(given) if event == "socket.getaddrinfo" else None)
import headstart as hs
from headstart.export import ExportOptions
model, file = sys.argv[1:]
hs.export(hs.load(model), Path(file), options=ExportOptions(max_pictures=2))
assert not asked, asked
"""


@pytest.mark.parametrize("name", ["t.onnx", "t.xml"])
def test_no_runtime_reports_its_use(name: str, tiny_folder: Path, tmp_path: Path) -> None:
    """onnxruntime and OpenVINO do, by default, and keep what they call the user in files of their own."""
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    own = {"HOME": str(home), "TMPDIR": str(temporary), "XDG_CACHE_HOME": str(home / "cache")}
    quiet = ("CI", "TF_BUILD", "JENKINS_URL", "ORT_DISABLE_TELEMETRY")  # where they keep still by themselves
    environment = {key: text for key, text in os.environ.items() if key not in quiet} | own
    command = [sys.executable, "-c", REPORTING, str(tiny_folder), str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert [each for each in [*home.rglob("*"), *temporary.rglob("*")] if each.is_file()] == []
