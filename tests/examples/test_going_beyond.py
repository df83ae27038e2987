"""The tutorial's program on pictures of CIFAR-10's shape, drawn here, and on some real ones."""

import importlib.util
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import pretrainedmodels

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "going_beyond_torchvision.py"
CLASSES = {"blue": 2, "green": 1, "red": 0}  # from name to the channel that is bright


@pytest.fixture(scope="module")
def program() -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("going_beyond_torchvision", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield module
    torch.set_num_threads(num_threads)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 16 training and 8 test pictures of each class, in 32 x 32 pixels."""
    root = tmp_path_factory.mktemp("cifar")
    generator = np.random.default_rng(0)
    for part, per_class in (("train", 16), ("test", 8)):
        for name, channel in CLASSES.items():
            folder = root / "cifar10" / part / name
            folder.mkdir(parents=True)
            for index in range(per_class):
                pixels = generator.integers(0, 60, (32, 32, 3), dtype=np.uint8)
                pixels[..., channel] += 180
                Image.fromarray(pixels).save(folder / f"{index:04}.jpg")
    return root


@pytest.fixture(scope="module")
def zipped(pictures: Path) -> Path:
    path = pictures / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for picture in sorted(pictures.rglob("*.jpg")):
            archive.write(picture, picture.relative_to(pictures).as_posix())
    return path


@pytest.fixture
def run(program: Any, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return a function that runs the program with a small network and returns what it printed."""

    def run_here(data: Path, *words: str, weights: str = "none") -> str:
        usual = ["--model", "squeezenet1_1", "--weights", weights, "--workers", "0", "--epochs", "2"]
        program.main(["--data", str(data), *usual, *words])
        return capsys.readouterr().out

    return run_here


def test_the_tutorials_protocol_runs(run: Callable[..., str], pictures: Path) -> None:
    said = run(pictures, "--limit", "16")
    assert said.count("  train       loss ") == said.count("  validation  loss ") == 2
    assert re.search(r"trained in \d+ s; best validation accuracy [01]\.\d{4}", said)
    assert re.search(r"squeezenet1_1 +[01]\.\d{4} on the test pictures that chose the epoch", said)


def test_a_zip_gives_what_its_folder_gives(run: Callable[..., str], pictures: Path, zipped: Path) -> None:
    folder, archive = (re.sub(r"in \d+ s", "", run(data)) for data in (pictures, zipped))
    assert folder == archive


def test_the_repaired_protocol_looks_at_the_test_pictures_once(
    run: Callable[..., str], program: Any, zipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    embed = program.RepairedModel.embed

    def counted(model: Any, loader: Any) -> Any:
        seen.append(len(loader.dataset))
        return embed(model, loader)

    monkeypatch.setattr(program.RepairedModel, "embed", counted)
    said = run(zipped, "--repaired", "--limit", "40")
    assert seen == [40, 24]  # every picture goes through the network once, whatever the number of epochs
    assert re.search(r"squeezenet1_1 +[01]\.\d{4} ± [01]\.\d{4} on 24 test pictures", said)


def test_the_best_epochs_weights_are_loaded_and_the_rest_stays_frozen(program: Any) -> None:
    """What is kept is the best epoch, not the last."""
    torch.manual_seed(0)
    network = pretrainedmodels.resnet18(pretrained=None)
    model = program.Model(network, 3)
    before = {name: tensor.clone() for name, tensor in model.named_parameters()}
    inputs, labels = torch.randn(9, 3, 32, 32), torch.arange(9) % 3
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, labels), batch_size=9)
    accuracies = iter((0.2, 0.9, 0.5))
    heads = []

    def run_epoch(loader: Any, optimizer: Any = None) -> tuple[float, float]:
        if optimizer is not None:
            return program.Model.run_epoch(model, loader, optimizer)  # type: ignore[no-any-return]
        heads.append(network.last_linear[0].weight.clone())
        return 1.0, next(accuracies)

    model.run_epoch = run_epoch
    assert model.fit({"train": loader, "validation": loader}, 3) == 0.9
    assert torch.equal(network.last_linear[0].weight, heads[1])
    assert not torch.equal(heads[1], heads[2])
    changed = {
        name for name, tensor in model.named_parameters() if not torch.equal(tensor.detach(), before[name])
    }
    assert changed == {"network.last_linear.0.weight", "network.last_linear.0.bias"}
    assert network.bn1.running_mean.abs().sum() > 0  # as in the tutorial: in training mode it moves


def test_weights_from_a_file_are_loaded_strictly(
    run: Callable[..., str], program: Any, pictures: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.pth"
    tensors = pretrainedmodels.squeezenet1_1(pretrained=None).state_dict()
    torch.save(tensors, path)
    loaded = program.load_network("squeezenet1_1", str(path)).state_dict()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)
    del tensors["features.0.bias"]
    torch.save(tensors, path)
    with pytest.raises(
        SystemExit, match=r"error: .*mine\.pth holds no weights of squeezenet1_1.*Missing key"
    ):
        run(pictures, weights=str(path))
    path.write_bytes(b"no weights")
    with pytest.raises(SystemExit, match=r"error: .*mine\.pth holds no weights"):
        run(pictures, weights=str(path))
    with pytest.raises(SystemExit, match=r"error: .*No such file"):
        run(pictures, weights=str(tmp_path / "absent.pth"))


def test_what_cannot_be_done_is_said_in_a_line(
    run: Callable[..., str], pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="error: alexnet does not take pictures this small"):
        run(pictures, "--model", "alexnet")
    (tmp_path / "cut.zip").write_bytes(b"PK")
    with pytest.raises(SystemExit, match="error: File is not a zip file"):
        run(tmp_path / "cut.zip")
    with pytest.raises(SystemExit, match="2"):
        run(pictures, "--model", "resnet5O")
    with pytest.raises(SystemExit, match="2"):
        run(pictures, "--limit", "1")
    assert "--limit is 1; it must be 16 or more" in capsys.readouterr().err


def test_without_a_network_the_error_is_one_line_and_a_hint(
    run: Callable[..., str], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    with pytest.raises(SystemExit) as ended:
        run(pictures, weights="imagenet")
    first, *rest = str(ended.value).splitlines()
    assert first.startswith("error: cannot fetch squeezenet1_1")
    assert "HEADSTART_OFFLINE" in first
    assert [line.partition(":")[0] for line in rest] == ["hint"]


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [(), ("--repaired",)])
def test_real_pictures_of_cifar(run: Callable[..., str], shared: Path, protocol: tuple[str, ...]) -> None:
    said = run(
        shared / "data" / "cifar10.zip", "--model", "se_resnet50", "resnet50", "--limit", "32", *protocol
    )
    result = r"[01]\.\d{4} ± [01]\.\d{4} on 32 test" if protocol else r"[01]\.\d{4} on the test"
    assert re.search(rf"se_resnet50 +{result}", said)
    assert re.search(rf"\nresnet50 +{result}", said)
