"""How fast a network runs here in one way and another, found out on the batches that have to be run anyway.

Layouts are tried on the first batches of a long job. torch's compiler is worth its time only when enough
pictures are left; what it cost and what it brought is measured once for a network, size and precision, and
kept.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from headstart.core.digest import digest_json
from headstart.core.errors import StorageError
from headstart.core.files import write_text
from headstart.core.machine import describe_machine
from headstart.core.paths import plans_dir
from headstart.core.progress import Progress
from headstart.core.records import dumps, from_json, read_json
from headstart.embed.check import Check
from headstart.embed.decoding import DecodedBatch
from headstart.embed.engine import Engine, Launched
from headstart.embed.plan import MIN_COSINE, Layout, Plan, Precision
from headstart.models import Classifier

Features = npt.NDArray[np.float32]

_LAYOUTS: tuple[Layout, ...] = ("channels-last", "contiguous")
# Two passes a layout, the first of which warms up; a shorter job would gain less than that costs.
_PASSES = 2
_MIN_BATCHES = 100

# What is expected of the compiler before it was ever tried on a network: measured for EfficientNet-Lite0,
# ResNet-50 and SE-ResNet-50 on two cores, docs/speed.md. Once tried, what was measured is used.
_EXPECTED_SECONDS = 30.0
_EXPECTED_SPEEDUP: dict[Precision, float] = {"fp32": 1.15, "bf16": 1.7, "fp16": 1.7}
# It must save this many times its cost; a guess more than a measurement.
_GUESS_MARGIN, _MEASURED_MARGIN = 2.0, 1.2
_WORTH_SWITCHING = 0.97  # of the time: less is noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """What was measured of one network, input size and precision on this machine.

    Attributes:
        seconds: for one picture, fastest batch, by how it was run: a layout's name or "compiled".
        compile_seconds: that translating and the first pass took; 0 where it was not tried.
        compile_error: why it cannot be compiled here; "" where it can, or was not tried.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    compile_seconds: float = 0.0
    compile_error: str = ""

    def with_seconds(self, way: str, seconds: float) -> "Timings":
        """Return timings that know of one more pass; the fastest counts."""
        fastest = min(seconds, self.seconds.get(way, seconds))
        return replace(self, seconds={**self.seconds, way: fastest})

    @property
    def uncompiled_seconds(self) -> float:
        """Of the fastest layout; infinite where none was tried."""
        return min((self.seconds[each] for each in _LAYOUTS if each in self.seconds), default=inf)

    def best_layout(self, usual: Layout) -> Layout:
        """Return the fastest layout; the usual one unless another is clearly faster."""
        known = [each for each in _LAYOUTS if each in self.seconds]
        fastest = min(known, key=self.seconds.__getitem__, default=usual)
        is_clear = self.uncompiled_seconds < _WORTH_SWITCHING * self.seconds.get(usual, inf)
        return fastest if is_clear else usual

    def worth_compiling(self, num_pictures: int, precision: Precision) -> bool:
        """Return whether the compiler saves more time on so many pictures than it takes."""
        now = self.uncompiled_seconds
        if self.compile_error or now == inf:
            return False
        compiled = self.seconds.get("compiled")
        if compiled is not None:
            saved = (now - compiled) * num_pictures
            return compiled < _WORTH_SWITCHING * now and saved > _MEASURED_MARGIN * self.compile_seconds
        saved = (now - now / _EXPECTED_SPEEDUP[precision]) * num_pictures
        return saved > _GUESS_MARGIN * _EXPECTED_SECONDS


class Pace:
    """Runs batches through an engine, and changes how it runs where that pays.

    Args:
        engine: the network.
        what: names the network and its input, for what is kept of it.
        num_pictures: how many go through it in all.
        min_cosine: smallest cosine between an engine's features and exact ones on a sample of pictures:
            what is compiled must pass it before it is used.
        progress: told about compiling.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        what: str,
        num_pictures: int,
        min_cosine: Callable[[Engine], float],
        progress: Progress,
    ) -> None:
        self._engine = engine
        self._left = num_pictures
        self._min_cosine = min_cosine
        self._progress = progress
        self._path = plans_dir() / f"{_key(what, engine.plan)}.json"
        self._timings = _load(self._path)
        self._trials: list[Layout] = []
        size = engine.plan.batch_size
        self._usual = engine.plan.layout
        if not engine.plan.exact and num_pictures >= _MIN_BATCHES * size and not self._timings.seconds:
            # On an NVIDIA GPU kernels for one more layout may take longer to make ready than they save.
            tried = (self._usual,) if engine.plan.device == "cuda" else _LAYOUTS
            self._trials = [layout for layout in tried for _ in range(_PASSES)]
        self._settled = engine.plan.exact or not (self._trials or self._timings.seconds)

    @classmethod
    def of(
        cls, classifier: Classifier, engine: Engine, check: Check, *, num_pictures: int, progress: Progress
    ) -> "Pace":
        """Return the pace of one classifier's engine, held to `check`."""
        return cls(
            engine,
            what=f"{classifier.network} {classifier.feature_point} {classifier.preprocessing.input_size}",
            num_pictures=num_pictures,
            min_cosine=check.min_cosine_of,
            progress=progress,
        )

    @property
    def plan(self) -> Plan:
        """How the network is run now."""
        return self._engine.plan

    def run(self, batches: Iterable[DecodedBatch]) -> Iterator[tuple[DecodedBatch, Features | None]]:
        """Yield every batch with its features, in order; None where no picture of it could be read.

        A GPU begins with a batch before the one before is handed on.
        """
        ahead = 0 if self._engine.plan.device == "cpu" else 1
        waiting: deque[tuple[DecodedBatch, Launched | None]] = deque()
        for batch in batches:
            waiting.append((batch, self._launch(batch.pixels) if batch.ids else None))
            self._left -= len(batch.order)
            if len(waiting) > ahead:
                yield _with_features(*waiting.popleft())
        for each in waiting:
            yield _with_features(*each)

    def _launch(self, pixels: npt.NDArray[np.uint8]) -> Launched:
        if not self._settled:
            self._prepare()
        started = time.perf_counter()
        launched = self._engine.launch(pixels)
        if not self._settled:  # also of a batch that lacks what could not be read: something must be known
            launched.result()
            way = "compiled" if self._engine.plan.compiled else self._engine.plan.layout
            self._timings = self._timings.with_seconds(way, (time.perf_counter() - started) / len(pixels))
        return launched

    def _prepare(self) -> None:
        """Decide how the next batch is run."""
        if self._trials:
            layout = self._trials.pop(0)
            if layout != self._engine.plan.layout:
                self._engine.use_layout(layout)
            return
        if self._engine.plan.compiled:  # the batch before was its first
            self._settle()
            return
        layout = self._timings.best_layout(self._usual)
        if layout != self._engine.plan.layout:
            self._engine.use_layout(layout)
        known = "compiled" in self._timings.seconds
        if not self._timings.worth_compiling(self._left, self._engine.plan.precision):
            self._settle()
        elif self._compile() and not known:
            return  # one batch is timed before it is settled
        else:
            self._settle()

    def _compile(self) -> bool:
        """Compile, and check the result on the sample; return whether it is used."""
        self._progress.note("compiling the network for the pictures that are left")
        started = time.perf_counter()
        self._engine.use_compiled(True)
        try:
            cosine = self._min_cosine(self._engine)
            error = "" if cosine >= MIN_COSINE else f"features differ: cosine {cosine:.4f}"
        except Exception as failure:  # what compilers raise on a network they cannot translate has no end
            error = (str(failure).strip().splitlines() or [type(failure).__name__])[0][:300]
        seconds = time.perf_counter() - started
        self._timings = replace(self._timings, compile_seconds=seconds, compile_error=error)
        if error:
            self._engine.use_compiled(False)
            self._progress.note(f"the compiled network is not used: {error}")
        return not error

    def _settle(self) -> None:
        """Keep what was measured, and run in the fastest way from here on."""
        self._settled = True
        compiled = self._timings.seconds.get("compiled")
        worth = _WORTH_SWITCHING * self._timings.uncompiled_seconds
        if self._engine.plan.compiled and compiled is not None and compiled > worth:
            self._engine.use_compiled(False)
            self._progress.note("the compiled network is not faster here; it is run as it was")
        write_text(self._path, dumps(self._timings))


def _with_features(batch: DecodedBatch, launched: Launched | None) -> tuple[DecodedBatch, Features | None]:
    return batch, None if launched is None else launched.result()


def _key(what: str, plan: Plan) -> str:
    way = [plan.device, plan.precision, plan.batch_size, plan.num_threads]
    return digest_json([describe_machine(), torch.__version__, what, *way])


def _load(path: Path) -> Timings:
    try:
        return from_json(Timings, read_json(path)) if path.is_file() else Timings()
    except (StorageError, TypeError, ValueError, AttributeError):
        return Timings()
