"""The card of a saved model: what it is, how to use it, what it may be used for."""

from headstart.models.classifier import Classifier
from headstart.preprocess import describe


def write_card(classifier: Classifier, *, summary: str) -> str:
    """Return the card as Markdown.

    Args:
        classifier: the model that is saved.
        summary: how good it is and how that was measured, as Markdown; may be empty.
    """
    names = ", ".join(f"`{_code(name)}`" for name in classifier.class_names[:20])
    more = len(classifier.class_names) - 20
    classes = names + (f" and {more} more (all are in `headstart.json`)" if more > 0 else "")
    license_ = classifier.license or "unknown: find out before you pass it on"
    paper = f"\nPaper of the network: <{classifier.entry.paper}>\n" if classifier.entry.paper else ""
    return f"""# An image classifier made with headstart

It tells {len(classifier.class_names)} classes apart: {classes}.

{summary.strip()}

## Use it

```
headstart predict THIS-FOLDER PICTURES
```

```python
import headstart as hs

for row in hs.predict(hs.load("THIS-FOLDER"), ["picture.jpg"]):
    print(row.path, row.label, row.probability)
```

## What is inside

- Network and pretrained weights: `{classifier.name}`, {classifier.num_params / 1e6:.1f} million parameters
- Every picture is prepared thus: {describe(classifier.preprocessing)}
- Licence of the pretrained weights: {license_}
{paper}"""


def _code(text: str) -> str:
    """Return text that stays inside Markdown's backticks."""
    return text.replace("`", "'").replace("\n", " ")
