"""How a fine-tuning went, epoch by epoch, as SVG text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from markupsafe import Markup

from headstart.models.history import Epoch, History
from headstart.report.charts import Scale
from headstart.report.labels import Box
from headstart.report.numbers import percent

_WIDTH, _HEIGHT = 760, 320
_LOSS_PLOT = Box(48, 30, 366, _HEIGHT - 46)
_ACCURACY_PLOT = Box(434, 30, _WIDTH - 8, _HEIGHT - 46)
_RADIUS = 4
_MAX_TICKS = 8
_MAX_DESCRIBED = 30  # epochs that a screen reader is told
_MAX_MARKS = 60  # more lie on one another: then the lines alone are drawn, and the chosen epoch

Values = Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One of the two plots.

    Attributes:
        box: where it is.
        title: above it.
        scale: of its upright axis.
        label: a value of that axis in words.
        num_epochs: that its other axis holds.
    """

    box: Box
    title: str
    scale: Scale
    label: Callable[[float], str]
    num_epochs: int

    def x(self, epoch: float) -> float:
        """Return where an epoch is, counted from 1."""
        whole = max(1, self.num_epochs - 1)
        part = (epoch - 1) / whole if self.num_epochs > 1 else 0.5
        return self.box.left + 12 + part * (self.box.right - self.box.left - 24)

    def y(self, value: float) -> float:
        """Return where a value is."""
        return self.box.bottom - self.scale.part(value) * (self.box.bottom - self.box.top)


def training_chart(history: History, *, number: int) -> Markup:
    """Return the chart: losses on the left, accuracy on the right; "" where no epoch has ended.

    Filled and solid is what the validation pictures say, hollow and dashed the training loss. Numbers alone
    go into it, so that nothing in it can be anything but text.

    Args:
        history: of a fine-tuning.
        number: of the chart on its page.
    """
    epochs = history.epochs
    if not epochs:
        return Markup("")
    train, log_losses, accuracies = (
        [getattr(each, name) for each in epochs] for name in ("train_loss", "log_loss", "accuracy")
    )
    losses = _panel(_LOSS_PLOT, "Loss, in nats", [*train, *log_losses], len(epochs))
    right = _panel(_ACCURACY_PLOT, "Validation accuracy", accuracies, len(epochs), is_share=True)
    parts = [
        *(_frame(panel) for panel in (losses, right)),
        *(_chosen_line(panel, history.chosen) for panel in (losses, right)),
        _line(losses, train, epochs, history.chosen, tone="behind"),
        _line(losses, log_losses, epochs, history.chosen, tone="chosen"),
        _line(right, accuracies, epochs, history.chosen, tone="chosen"),
    ]
    return Markup(
        '<svg class="scatter training" viewBox="0 0 {width} {height}" role="img" '
        'aria-labelledby="training-{number}-title training-{number}-desc">'
        '<title id="training-{number}-title">Losses and validation accuracy by epoch</title>'
        '<desc id="training-{number}-desc">{description}</desc>{parts}</svg>'
    ).format(
        width=_WIDTH,
        height=_HEIGHT,
        number=number,
        description=_description(history),
        parts=Markup("").join(parts),
    )


def round_scale(values: Values) -> Scale:
    """Return a stretch with round ends and at most `_MAX_TICKS` steps that holds all values.

    Args:
        values: at least one.
    """
    low, high = min(values), max(values)
    width = max(high - low, 1e-3)
    size = 10 ** floor(log10(width))
    step = next(
        each
        for each in (factor * size for factor in (0.2, 0.5, 1, 2, 5))
        if floor(low / each) + _MAX_TICKS >= ceil(high / each)
    )
    start, end = floor(round(low / step, 6)), ceil(round(high / step, 6))
    return Scale(low=start * step, high=max(end, start + 1) * step, step=step)


def figures(epoch: Epoch, *, chosen: int) -> str:
    """Return what an epoch came to, in words."""
    mark = " (chosen)" if epoch.number == chosen else ""
    return (
        f"epoch {epoch.number}{mark}: training loss {epoch.train_loss:.3f}, validation log loss "
        f"{epoch.log_loss:.3f}, accuracy {percent(epoch.accuracy)}"
    )


def _description(history: History) -> str:
    told = [figures(each, chosen=history.chosen) for each in history.epochs[:_MAX_DESCRIBED]]
    more = len(history.epochs) - len(told)
    return "; ".join([*told, f"and {more} more epochs"] if more else told)


def _panel(box: Box, title: str, values: Values, num_epochs: int, *, is_share: bool = False) -> Panel:
    scale = round_scale(values)
    digits = max(0, -floor(log10(scale.step) + 1e-9))

    def label(value: float) -> str:
        return percent(value, digits=max(0, digits - 2)) if is_share else f"{value:.{digits}f}"

    return Panel(box=box, title=title, scale=scale, label=label, num_epochs=num_epochs)


def _line(panel: Panel, values: Values, epochs: Sequence[Epoch], chosen: int, *, tone: str) -> Markup:
    """Return a line through the values of all epochs, with a mark at each."""
    places = [(panel.x(number), panel.y(value)) for number, value in enumerate(values, start=1)]
    path = Markup('<path class="line" fill="none" stroke="currentColor"{} d="M{}"/>').format(
        Markup(' stroke-dasharray="5 4"') if tone == "behind" else "",
        "L".join(f"{x:.1f} {y:.1f}" for x, y in places),
    )
    mark = Markup('<circle class="shape" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>')
    marks = [
        mark.format(x, y, _RADIUS * (1.5 if epoch.number == chosen else 1), figures(epoch, chosen=chosen))
        for (x, y), epoch in zip(places, epochs, strict=True)
        if len(epochs) <= _MAX_MARKS or epoch.number == chosen
    ]
    return Markup('<g class="mark {}">{}{}</g>').format(tone, path, Markup("").join(marks))


def _chosen_line(panel: Panel, chosen: int) -> Markup:
    """Return the upright line at the chosen epoch; "" where the weights before the first were kept."""
    if not chosen:
        return Markup("")
    return Markup('<path class="chosen-epoch" d="M{0:.1f} {1:.1f}V{2:.1f}"/>').format(
        panel.x(chosen), panel.box.top, panel.box.bottom
    )


def _frame(panel: Panel) -> Markup:
    text = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    rule = Markup('<path class="rule" d="M{:.1f} {:.1f}H{:.1f}"/>')
    box = panel.box
    parts = [text.format("axis", box.left, box.top - 14, "start", panel.title)]
    for value in panel.scale.ticks():
        y = panel.y(value)
        parts.append(rule.format(box.left, y, box.right))
        parts.append(text.format("tick", box.left - 6, y + 4, "end", panel.label(value)))
    every = ceil(panel.num_epochs / _MAX_TICKS)
    for number in range(1, panel.num_epochs + 1, every):
        parts.append(text.format("tick", panel.x(number), box.bottom + 17, "middle", number))
    parts.append(text.format("axis", (box.left + box.right) / 2, _HEIGHT - 8, "middle", "epoch"))
    return Markup("").join(parts)
