"""The card of a model folder: valid for the hub, true, inert whatever names hold, and its programs run."""

import io
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import ModelCard
from PIL import Image

import headstart as hs
from headstart.compare import load_comparison
from headstart.models import CardFacts, CardMetric, Classifier, save_folder
from headstart.models.card import inert, write_card
from headstart.preprocess import with_resolution

HOSTILE = (
    "<script>alert(1)</script>",
    "| a | b |",
    "[click](https://evil.example)",
    "`rm -rf`",
    "---\nlicense: mit\n---",
    "![x](https://evil.example/x.png)",
    "*bold* _it_ # head",
    "{{ 7 * 7 }} ${HOME} $x$",
    "\u202egnp.exe",
)
FACTS = CardFacts(
    dataset_name="flowers: {'a'}\n---",
    class_counts=tuple(range(20, 20 + len(HOSTILE))),
    estimate="locked test",
    measured="Measured on 360 pictures.",
    metrics=(
        CardMetric(type="accuracy", name="Accuracy", value=0.95, low=0.922, high=0.968, is_share=True),
        CardMetric(type="log_loss", name="Log loss", value=0.2, low=0.1, high=0.3, is_share=False),
    ),
    reason=f"{HOSTILE[0]} won.",
    limits=(f"Mixed up most often: {HOSTILE[2]}.",),
    command="headstart compare `x` --models timm/resnet18@/home/ann/flowers.safetensors",
)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    small = hs.load("starter/efficientnet_lite0", weights=None, num_classes=len(HOSTILE))
    small.class_names = HOSTILE
    return small.with_preprocessing(with_resolution(small.preprocessing, 64))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, few_shapes: Path, tiny_models: tuple[str, str]) -> Path:
    """The folder of a real comparison."""
    out = tmp_path_factory.mktemp("run")
    hs.compare([tiny_models[1]], hs.open_dataset(few_shapes), out=out)
    return out


def with_license(classifier: Classifier, name: str) -> Classifier:
    other = classifier.with_preprocessing(classifier.preprocessing)
    other.entry = replace(other.entry, weights=replace(other.entry.weights, license=name))
    return other


def test_the_metadata_is_the_hubs(classifier: Classifier) -> None:
    card = ModelCard(write_card(classifier, FACTS))
    data = card.data
    assert data.license == "apache-2.0"
    assert (data.library_name, data.pipeline_tag) == ("headstart", "image-classification")
    assert data.base_model == ["timm/tf_efficientnet_lite0.in1k"]
    first, second = data.eval_results
    assert (first.task_type, first.metric_type, first.metric_value) == (
        "image-classification",
        "accuracy",
        0.95,
    )
    assert "0.9220 to 0.9680" in first.metric_name
    assert first.dataset_name == "flowers: {'a'}?---"
    assert second.metric_type == "log_loss"
    # Read and written again it is the same: nothing is lost on the way to the hub.
    assert ModelCard(str(card)).data.to_dict() == data.to_dict()
    assert "`headstart compare 'x' --models timm/resnet18@flowers.safetensors`" in card.text


@pytest.mark.parametrize(
    ("license_", "fields", "said"),
    [
        ("", {"license": "unknown"}, "is unknown"),
        ("CC-BY-NC-4.0", {"license": "cc-by-nc-4.0"}, "does not permit commercial use"),
        ("dinov3-license", {"license": "other", "license_name": "dinov3-license"}, "is not known"),
        (
            "seer-license",
            {
                "license": "other",
                "license_name": "seer-license",
                "license_link": "https://github.com/facebookresearch/vissl/blob/main/projects/SEER/MODEL_LICENSE.md",
            },
            "does not permit commercial use",
        ),
        (
            "Apache-2.0 AND CC-BY-NC-4.0",
            {"license": "other", "license_name": "apache-2.0-and-cc-by-nc-4.0"},
            "does not permit commercial use",
        ),
    ],
)
def test_the_licence_of_the_weights(
    license_: str, fields: dict[str, str], said: str, classifier: Classifier
) -> None:
    card = write_card(with_license(classifier, license_))
    assert fields.items() <= ModelCard(card).data.to_dict().items()
    assert said in card


def test_a_card_without_facts_is_valid_and_claims_nothing(classifier: Classifier) -> None:
    card = ModelCard(write_card(classifier))
    assert card.data.eval_results is None
    assert "say little about others.\n" in card.text
    assert "How good" not in card.text


def test_hostile_names_stay_text(classifier: Classifier) -> None:
    markdown = pytest.importorskip("markdown", reason="comes with the extra 'docs'")
    card = write_card(classifier, FACTS)
    text = ModelCard(card).text
    assert ModelCard(card).data.license == "apache-2.0"
    page = markdown.markdown(text, extensions=["tables", "fenced_code"])
    assert "<script" not in page
    assert "<img" not in page
    assert "evil.example" in page
    assert re.findall(r'href="([^"]*evil[^"]*)"', page) == []
    assert "\u202e" not in text
    table = page.split("<tbody>")[2].split("</tbody>")[0]
    rows = re.findall(r"<tr>\s*<td>(.*?)</td>\s*<td>(\d+)</td>\s*</tr>", table)
    assert [int(count) for _, count in rows] == list(FACTS.class_counts)
    assert "<em>" not in table
    assert "<strong>" not in table


@pytest.mark.parametrize("text", ["", "plain words, 95 %", "Größe 🦄", "a-b (c) d.e"])
def test_harmless_text_stays_as_it_is(text: str) -> None:
    assert inert(text) == text


def test_a_twin_that_the_catalogue_does_not_know_is_no_base_model(classifier: Classifier) -> None:
    other = classifier.with_preprocessing(classifier.preprocessing)
    other.entry = replace(other.entry, same_tensors_as=("timm/of_another_day",))
    assert ModelCard(write_card(other)).data.base_model is None


def test_many_classes_are_counted(classifier: Classifier) -> None:
    many = hs.load("starter/efficientnet_lite0", weights=None)
    assert "800 more classes" in write_card(many)


def test_where_a_checkpoint_lay_is_not_told(tiny_models: tuple[str, str]) -> None:
    model = hs.load(tiny_models[0])
    folder = Path(tiny_models[0].partition("@")[2]).parent
    assert str(folder) not in write_card(model)
    assert "test_resnet.safetensors" in write_card(model)


def test_nothing_that_is_passed_on_tells_where_a_checkpoint_lay(
    tiny_models: tuple[str, str], tmp_path: Path
) -> None:
    pair = hs.load("+".join(tiny_models), num_classes=2)
    save_folder(pair, tmp_path)
    folder = str(Path(tiny_models[0].partition("@")[2]).parent)
    for name in ("README.md", "headstart.json"):
        assert folder not in (tmp_path / name).read_text()
        assert "test_resnet@test_resnet.safetensors+timm/test_efficientnet@" in (tmp_path / name).read_text()
    assert hs.load(str(tmp_path)).class_names == pair.class_names


def test_the_card_of_a_comparison_tells_what_it_found(run: Path) -> None:
    comparison = load_comparison(run)
    card = ModelCard.load(run / "model" / "README.md")
    checkpoint = comparison.chosen.partition("@")[2]
    assert Path(checkpoint).is_absolute()
    assert checkpoint not in card.content  # of the model that won
    accuracy = comparison.final.accuracy
    assert card.data.eval_results[0].metric_value == pytest.approx(accuracy.value, abs=1e-6)
    assert f"| Accuracy | {accuracy.value:.1%} | {accuracy.low:.1%} to {accuracy.high:.1%} |" in card.text
    assert card.data.eval_results[0].dataset_split == "nested cross-validation"
    assert "| disc | 15 |" in card.text
    assert "Classes with fewer than 20 pictures: cross (15), disc (15), square (15)." in card.text
    assert "'headstart predict' says which ones are unlike them." in card.text
    assert f"`{comparison.digests['pictures']}`" in card.text
    assert f"torch {comparison.versions['torch']}" in card.text


def test_the_programs_of_the_card_agree(
    run: Path, draw: Callable[..., Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw("disc", seed=7, side=300).resize((320, 240)).save(tmp_path / "picture.jpg")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "THIS-FOLDER").symlink_to(run / "model")
    programs = re.findall(r"```python\n(.*?)```", (run / "model" / "README.md").read_text(), re.S)
    said = []
    for program in programs:
        with redirect_stdout(io.StringIO()) as out:
            exec(compile(program, "<card>", "exec"), {})
        said.append(out.getvalue().removeprefix("picture.jpg ").split())
    assert len(said) == 2
    assert said[0][0] == said[1][0]
    assert float(said[0][1]) == pytest.approx(float(said[1][1]), abs=0.01)


@pytest.mark.parametrize("change", [{"fit": "pad"}, {"input_space": "BGR"}, {"input_range": (0.0, 255.0)}])
def test_no_program_where_timm_alone_would_say_something_else(
    change: dict[str, object], classifier: Classifier
) -> None:
    other = classifier.with_preprocessing(replace(classifier.preprocessing, **change))
    assert "import timm" not in write_card(other)
    assert "import timm" in write_card(classifier)
    for each in (other, classifier):
        assert "headstart export THIS-FOLDER" in write_card(each)


def test_the_card_names_the_tensors(classifier: Classifier, tmp_path: Path) -> None:
    from headstart.core.digest import digest_file

    save_folder(classifier, tmp_path, facts=FACTS)
    assert digest_file(tmp_path / "model.safetensors") in (tmp_path / "README.md").read_text()


def test_a_probability_of_the_card_is_what_the_folder_gives(run: Path) -> None:
    from headstart.models import load_folder

    assert np.isclose(load_folder(run / "model").temperature, load_comparison(run).temperature)
