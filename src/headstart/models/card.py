"""The card of a saved model, for people and for the Hugging Face hub: what it is, how good, how to use it.

Its form is the hub's: metadata as YAML between two lines of dashes, Markdown behind.
Source: Mitchell et al. 2019, "Model Cards for Model Reporting", https://arxiv.org/abs/1810.03993; the
metadata: https://huggingface.co/docs/hub/model-cards, its licences' identifiers:
https://huggingface.co/docs/hub/repositories-licenses
"""

import html
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from headstart.catalog.entry import ModelEntry
from headstart.catalog.licenses import license_terms, permits_commercial_use
from headstart.catalog.user_rows import without_folders
from headstart.core.errors import UnknownModelError
from headstart.core.plain_progress import plain
from headstart.core.shown_paths import without_absolute_paths
from headstart.models.card_program import standalone_program
from headstart.models.classifier import Classifier
from headstart.preprocess import describe

_SHOWN_CLASSES = 200  # rows of the table; all names are in the folder's record
_NAME_LIMIT = 80
_HUB_LICENSES = frozenset(
    ("apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "apple-ascl", "apple-amlr", "gemma")
)
# What Markdown acts on, and what makes a link of a bare address.
_MARKS = re.compile(r"[\\`*_\[\]|~@$^#]|:(?=//)|(?<=www)\.", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardMetric:
    """One figure of a card, with its 95 % interval.

    Attributes:
        type: the hub's identifier of the metric: "accuracy", "f1".
        name: as people know it.
        value: the estimate.
        low: lower end of the interval.
        high: upper end.
        is_share: whether it lies in [0, 1] and is shown as percent.
    """

    type: str
    name: str
    value: float
    low: float
    high: float
    is_share: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """What a card tells beyond what the model itself knows.

    Attributes:
        dataset_name: short name of the pictures it was trained on.
        class_counts: pictures of each of the K classes, in the order of the model's classes; () if unknown.
        estimate: how the metrics were measured, in a few words: "locked test".
        measured: the same as a sentence.
        metrics: the most important one first.
        reason: why this model was chosen, as sentences.
        limits: what a user should know before relying on it, a sentence each.
        training: how it was trained, as sentences.
        command: the command that made it; "" when it was made from Python.
        started: date and time, ISO 8601; "" if unknown.
        machine: what it was made on, in words.
        versions: version of every package that decides a figure.
        digests: sha256 by name.
    """

    dataset_name: str = ""
    class_counts: tuple[int, ...] = ()
    estimate: str = ""
    measured: str = ""
    metrics: tuple[CardMetric, ...] = ()
    reason: str = ""
    limits: tuple[str, ...] = ()
    training: str = ""
    command: str = ""
    started: str = ""
    machine: str = ""
    versions: dict[str, str] | None = None
    digests: dict[str, str] | None = None


def write_card(classifier: Classifier, facts: CardFacts = CardFacts(), *, digest: str = "") -> str:
    """Return the card: YAML metadata, then Markdown.

    Names of classes and data sets stand in it as text, whatever they hold.

    Args:
        classifier: the model that is saved.
        facts: how good it is, what it was made from, and how; the card leaves out what they do not say.
        digest: sha256 of the file of tensors; "" if unknown.
    """
    sections = (
        _head(classifier, facts),
        _quality(facts),
        _classes(classifier, facts),
        _usage(classifier),
        _limits(classifier, facts),
        _license(classifier),
        _making(classifier, facts, digest),
    )
    body = "\n\n".join(section for section in sections if section)
    return f"---\n{_metadata(classifier, facts)}\n---\n\n{body}\n"


def _metadata(classifier: Classifier, facts: CardFacts) -> str:
    from huggingface_hub import EvalResult, ModelCardData  # late: it costs a tenth of a second

    results = [
        EvalResult(
            task_type="image-classification",
            task_name="Image Classification",
            dataset_type="imagefolder",  # the hub's word for pictures in folders of classes
            dataset_name=_short(plain(facts.dataset_name) or "own pictures"),
            dataset_split=facts.estimate,
            metric_type=each.type,
            metric_name=f"{each.name}, 95 % interval {each.low:.4f} to {each.high:.4f}",
            metric_value=round(each.value, 6),
        )
        for each in facts.metrics
    ]
    data = ModelCardData(
        library_name="headstart",
        pipeline_tag="image-classification",
        tags=["image-classification", "headstart", "transfer-learning"],
        base_model=_base_models(classifier.entry) or None,
        metrics=[each.type for each in facts.metrics] or None,
        model_name=_short(plain(_title(facts))) if results else None,
        eval_results=results or None,
        **_license_fields(classifier.license),
    )
    return data.to_yaml(line_break="\n")


def _license_fields(license_name: str) -> dict[str, Any]:
    """Return a licence as the hub's metadata has it: an identifier, or "other" with name and link."""
    if not license_name:
        return {"license": "unknown"}
    if license_name.lower() in _HUB_LICENSES:
        return {"license": license_name.lower()}
    links = re.findall(r"https://\S+", license_terms(license_name))
    name = re.sub(r"[^a-z0-9.]+", "-", license_name.lower()).strip("-")
    return {"license": "other", "license_name": name, "license_link": links[0] if links else None}


def _base_models(entry: ModelEntry) -> list[str]:
    """Return the hub's repositories of the weights that the model was made from, as far as they are known."""
    rows = entry.members or (entry,)
    return [name for name in map(_hub_repository, rows) if name]


def _hub_repository(entry: ModelEntry) -> str:
    """Return the repository that has a row's tensors; "" where none is known."""
    from headstart.catalog import find_model

    rows = [entry]
    for name in entry.same_tensors_as:
        with suppress(UnknownModelError):  # a saved folder may name what this catalogue does not know
            rows.append(find_model(name))
    return next((each.location for row in rows for each in row.weights.sources if each.kind == "hub"), "")


def _head(classifier: Classifier, facts: CardFacts) -> str:
    num_classes = len(classifier.class_names)
    about = f" of {inert(_short(facts.dataset_name))}" if facts.dataset_name else ""
    return (
        f"# {inert(_title(facts))}\n\n"
        f"Tells {num_classes} {'class' if num_classes == 1 else 'classes'}{about} apart on pictures. It is "
        f"`{_code(without_folders(classifier.entry).name)}`, trained with headstart."
    )


def _title(facts: CardFacts) -> str:
    return f"An image classifier for {facts.dataset_name}" if facts.dataset_name else "An image classifier"


def _quality(facts: CardFacts) -> str:
    if not facts.metrics:
        return _told(facts.reason)
    rows = [f"| {each.name} | {_figure(each, each.value)} | {_interval(each)} |" for each in facts.metrics]
    table = "\n".join(["| metric | value | 95 % interval |", "|---|---|---|", *rows])
    parts = ["## How good it is", table, inert(facts.measured), _told(facts.reason)]
    return "\n\n".join(part for part in parts if part)


def _figure(metric: CardMetric, value: float) -> str:
    return f"{value:.1%}" if metric.is_share else f"{value:.3f}"


def _interval(metric: CardMetric) -> str:
    return f"{_figure(metric, metric.low)} to {_figure(metric, metric.high)}"


def _classes(classifier: Classifier, facts: CardFacts) -> str:
    names = classifier.class_names
    counts: Sequence[int | str] = facts.class_counts
    if len(counts) != len(names):
        counts = [""] * len(names)
    shown = list(zip(names, counts, strict=True))[:_SHOWN_CLASSES]
    rows = [f"| {inert(_short(name))} | {count} |" for name, count in shown]
    more = len(names) - len(rows)
    table = "\n".join(["| class | pictures |", "|---|---|", *rows])
    rest = f"{more} more classes; all names are in `headstart.json`." if more > 0 else ""
    total = f"{sum(facts.class_counts)} pictures in all." if facts.class_counts else ""
    return "\n\n".join(part for part in ("## Classes and data", table, rest, total) if part)


def _usage(classifier: Classifier) -> str:
    program = standalone_program(classifier)
    alone = f"Without headstart, with timm alone:\n\n```python\n{program}```\n\n" if program else ""
    return f"""## Use it

With headstart:

```sh
headstart predict THIS-FOLDER YOUR-PICTURES
```

```python
import headstart as hs

for row in hs.predict(hs.load("THIS-FOLDER"), ["picture.jpg"]):
    print(row.path, row.label, row.probability)
```

{alone}`headstart export THIS-FOLDER -o model.onnx --include-preprocessing` writes the whole way from a
picture to calibrated probabilities as one file for other programs, proven on pictures, and a short program
that runs it."""


def _limits(classifier: Classifier, facts: CardFacts) -> str:
    tells = "" if classifier.familiarity is None else "; 'headstart predict' says which ones are unlike them"
    always = (
        "A picture that shows none of its classes gets one of them all the same, or 'unknown' at best.",
        f"The figures hold for pictures like those it was measured on, and say little about others{tells}.",
    )
    return "## Limits\n\n" + "\n".join(f"- {_told(each)}" for each in (*always, *facts.limits))


def _license(classifier: Classifier) -> str:
    name, permits = classifier.license, permits_commercial_use(classifier.license)
    use = {True: "permits commercial use", False: "does not permit commercial use"}
    if not name:
        text = "The licence of the pretrained weights is unknown: find out before you use or pass them on."
    elif permits is None:
        text = (
            f"The pretrained weights are under {inert(name)}. Whether it permits commercial use is not known."
        )
    else:
        terms = license_terms(name)
        text = f"The pretrained weights are under {inert(name)}, which {use[permits]} ({terms})."
    trained = classifier.entry.weights.pretrained_on
    about = f" They were trained on {inert(trained)}." if trained else ""
    return f"## Licence\n\n{text}{about}"


def _making(classifier: Classifier, facts: CardFacts, digest: str) -> str:
    facts_ = [
        f"Network: `{_code(classifier.network)}`, {classifier.num_params / 1e6:.1f} million parameters",
        f"Every picture is prepared thus: {inert(describe(classifier.preprocessing))}",
        f"Probabilities are calibrated: logits are divided by {classifier.temperature:.3f}",
        inert(facts.training),
        f"Command: `{_code(without_absolute_paths(facts.command))}`" if facts.command else "",
        f"Started: {inert(facts.started)}" if facts.started else "",
        f"Machine: {inert(facts.machine)}" if facts.machine else "",
        f"Versions: {inert(_pairs(facts.versions))}" if facts.versions else "",
        f"sha256 of `model.safetensors`: `{digest}`" if digest else "",
        *(f"sha256 of {inert(name)}: `{_code(sha)}`" for name, sha in (facts.digests or {}).items()),
        *(f"Paper: <{address}>" for address in classifier.entry.paper.split()),
    ]
    return "## How it was made\n\n" + "\n".join(f"- {each}" for each in facts_ if each)


def _pairs(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def inert(text: str) -> str:
    r"""Return text that Markdown, html and tables show as it is, on one line.

    Example:
        >>> print(inert("<b>*rose*</b> | [x](https://x.example)"))
        &lt;b&gt;\*rose\*&lt;/b&gt; \| \[x\](https\://x.example)
    """
    return _MARKS.sub(r"\\\g<0>", html.escape(plain(text), quote=False))


def _told(text: str) -> str:
    """Return text of ours, which may hold names of classes and of checkpoints."""
    return inert(without_absolute_paths(text))


def _code(text: str) -> str:
    """Return text that stays inside Markdown's backticks."""
    return plain(text.replace("`", "'"))


def _short(text: str) -> str:
    return text if len(text) <= _NAME_LIMIT else f"{text[: _NAME_LIMIT - 1]}…"
