"""The service: its addresses, and what happens at each."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Route

from headstart.core.errors import HeadstartError
from headstart.embed.engine import Engine
from headstart.embed.plan import PlanOptions
from headstart.models import Classifier
from headstart.models.neighbours import Neighbours
from headstart.serve import answers, pages
from headstart.serve.access import LOOPBACK_NAMES
from headstart.serve.batching import Batcher
from headstart.serve.bodies import JSON, MULTIPART, JsonPictures, Receiver
from headstart.serve.guard import Guard
from headstart.serve.limits import Limits
from headstart.serve.maps import draw_heat_map
from headstart.serve.metrics import Metrics
from headstart.serve.pictures import prepare
from headstart.serve.refusals import Refusal, busy
from headstart.serve.warm_up import ready_engine

T = TypeVar("T")
_MAX_NEIGHBOURS = 20
_DESCRIPTION = (
    "Says what is on pictures. Every refusal has a body that says what happened and what to do. "
    "Pictures are decoded in memory, and forgotten once they are answered."
)
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "model": answers.RefusalBody}
    for status, description in {
        401: "no token, or a wrong one",
        403: "a page of another web site asks",
        408: "the body came too slowly",
        413: "too many bytes, pixels or pictures",
        415: "neither multipart nor JSON, or no picture at all",
        421: "the Host header is none of the service's names",
        422: "broken: the form, the JSON, the base64 or the picture",
        429: "too many requests of one address at once",
        503: "too much to do at the moment: come back after Retry-After seconds",
    }.items()
}
_REFERENCE = "#/components/schemas/{model}"
_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        MULTIPART: {
            "schema": {
                "type": "object",
                "additionalProperties": {"type": "string", "format": "binary"},
                "description": "a file for each picture; the names of the fields do not matter",
            }
        },
        JSON: {"schema": {"$ref": _REFERENCE.format(model="JsonPictures")}},
    },
}


def create_app(
    classifier: Classifier,
    *,
    options: PlanOptions = PlanOptions(),
    limits: Limits = Limits(),
    token: str = "",
    hosts: tuple[str, ...] = LOOPBACK_NAMES,
    card: str = "",
    neighbours: Neighbours | None = None,
) -> FastAPI:
    """Return a classifier as a web application, its network ready to run.

    What concerns connections (how many, how slow their headers) is not the application's: `Server` looks
    after that.

    Args:
        classifier: must know classes.
        options: device, precision and plan.
        limits: what clients may ask for.
        token: that requests must bear; "" asks for none.
        hosts: names that it answers to, without a port.
        card: of the model, as Markdown.
        neighbours: training pictures to show beside new ones; None where the model keeps none.

    Raises:
        ModelError: the network has no classifier.
        InputError: the device is not here, or plan and precision do not go together.

    Example:
        >>> import headstart as hs
        >>> from headstart.serve import create_app
        >>> app = create_app(hs.load("efficientnet_lite0", weights=None, num_classes=2))
        >>> sorted(route.path for route in app.routes)[:3]
        ['/', '/docs', '/health']
    """
    service = Service(classifier, options=options, limits=limits, card=card, neighbours=neighbours)
    app = _Application(
        title="headstart",
        summary=f"{service.model_name}, {len(classifier.class_names)} classes",
        description=_DESCRIPTION,
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=service.lifespan,
        exception_handlers={
            Refusal: _answer_refusal,
            HeadstartError: _answer_error,
            HTTPException: _answer_http_error,
            RequestValidationError: _answer_invalid,
            Exception: _answer_failure,
        },
    )
    service.add_routes(app)
    app.add_middleware(
        Guard,
        paths=frozenset(route.path for route in app.routes if isinstance(route, Route)),
        heavy_paths=frozenset({"/predict", "/heat-map", "/neighbours"}),
        hosts=frozenset(each.lower().rstrip(".") for each in hosts),
        token=token,
        limits=limits,
        metrics=service.metrics,
    )
    return app


class _Application(FastAPI):
    """With the JSON body in its description, which is read by hand."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        schema = JsonPictures.model_json_schema(ref_template=_REFERENCE)
        schemas = document["components"]["schemas"]
        schemas |= schema.pop("$defs", {})
        schemas["JsonPictures"] = schema
        return document


class Service:
    """What happens at each address.

    Args:
        classifier: must know classes.
        options: device, precision and plan.
        limits: what clients may ask for.
        card: of the model, as Markdown.
        neighbours: training pictures to show, or None.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        options: PlanOptions,
        limits: Limits,
        card: str,
        neighbours: Neighbours | None,
    ) -> None:
        self.metrics = Metrics()
        self._classifier = classifier.with_logits_as_features()
        self._engine: Engine = ready_engine(self._classifier, options)
        self._limits = limits
        self._neighbours = neighbours
        self._model = answers.describe_model(
            classifier,
            plan=str(self._engine.plan),
            card=card,
            keeps_neighbours=neighbours is not None,
        )
        self._receiver = Receiver(limits)
        self._batcher: Batcher | None = None

    @property
    def model_name(self) -> str:
        """The model's name, without the folder that a checkpoint lies in."""
        return self._model.name

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Answer pictures inside the block; at its end finish those that wait."""
        self._batcher = Batcher(self._classifier, self._engine, limits=self._limits, metrics=self.metrics)
        try:
            yield
        finally:
            batcher, self._batcher = self._batcher, None
            await batcher.stop()

    def add_routes(self, app: FastAPI) -> None:
        """Give every address to what answers it."""
        app.add_api_route(
            "/predict",
            self.predict,
            methods=["POST"],
            responses={200: {"model": answers.Answers}, **_REFUSALS},
            openapi_extra={"requestBody": _BODY},
        )
        app.add_api_route(
            "/heat-map",
            self.heat_map,
            methods=["POST"],
            response_class=Response,
            responses={200: {"content": {"image/png": {}}}, **_REFUSALS},
            openapi_extra={"requestBody": _BODY},
        )
        app.add_api_route(
            "/neighbours",
            self.tell_neighbours,
            methods=["POST"],
            responses={200: {"model": answers.TrainingPictures}, **_REFUSALS},
            openapi_extra={"requestBody": _BODY},
        )
        app.add_api_route(
            "/model", self.model, responses={200: {"model": answers.Model}, 401: _REFUSALS[401]}
        )
        app.add_api_route("/health", self.health)
        app.add_api_route("/ready", self.ready, responses={503: _REFUSALS[503]})
        app.add_api_route(
            "/metrics", self.tell_metrics, response_class=PlainTextResponse, responses={401: _REFUSALS[401]}
        )
        app.add_api_route("/docs", pages.docs_page(app), include_in_schema=False)
        app.add_api_route("/", pages.main_page(), include_in_schema=False)

    async def predict(self, request: Request, top: Annotated[int, Query(ge=1, le=1000)] = 5) -> Response:
        """Say what is on one or more pictures.

        A picture among others that cannot be read has its error in its own row; where none can be read, the
        first one's error is the answer to the request.
        """
        batcher = self._running()
        with self._receiver.held() as held:
            with batcher.arriving():
                pictures = await self._receiver.read(request, held)
            rows = await self._patiently(batcher.predictions([each.raw for each in pictures]))
        self._count(rows)
        refusals = [row for row in rows if isinstance(row, Refusal)]
        if len(refusals) == len(rows):
            raise refusals[0]
        return _json(
            answers.Answers(
                predictions=[
                    answers.unread(picture.name, row)
                    if isinstance(row, Refusal)
                    else answers.answer(picture.name, row, self._classifier.class_names, top=top)
                    for picture, row in zip(pictures, rows, strict=True)
                ]
            )
        )

    async def heat_map(self, request: Request, label: str | None = None) -> Response:
        """Draw where in one picture the network sees what speaks for a class, by default for the best.

        The picture is shown as the network sees it: at its size, and cut as it is for it.
        """
        if label is not None and label not in self._classifier.class_names:
            raise Refusal(
                status=422,
                error=f"the model knows no class {label[:100]!r}",
                hint="GET /model names the classes",
            )
        drawn = await self._do(request, lambda pixels: draw_heat_map(self._classifier, pixels, label))
        return Response(drawn, media_type="image/png")

    async def tell_neighbours(
        self, request: Request, k: Annotated[int, Query(ge=1, le=_MAX_NEIGHBOURS)] = 5
    ) -> Response:
        """Show the training pictures that are most like one picture, as the network sees them."""
        neighbours = self._neighbours
        if neighbours is None:
            raise Refusal(
                status=422,
                error="the model's folder keeps no training pictures",
                hint="headstart compare, probe and tune keep some with --keep-neighbours",
            )
        classes = self._classifier.class_names
        found = await self._do(
            request,
            lambda pixels: answers.training_pictures(
                neighbours, self._engine.features(pixels[None]), classes, k=k
            ),
        )
        return _json(found)

    async def _do(self, request: Request, work: Callable[[npt.NDArray[np.uint8]], T]) -> T:
        """Return what the network's thread does with the pixels, uint8 of shape (H, W, 3), of one picture."""
        batcher = self._running()
        with self._receiver.held() as held:
            pictures = await self._receiver.read(request, held)
            if len(pictures) != 1:
                raise Refusal(
                    status=422, error=f"{len(pictures)} pictures; it must be one", hint="send one at a time"
                )
            raw = pictures[0].raw
            return await self._patiently(batcher.do(lambda: work(self._pixels(raw))))

    def _pixels(self, raw: bytes) -> npt.NDArray[np.uint8]:
        return prepare(
            raw,
            preprocessing=self._classifier.preprocessing,
            decoder=self._engine.plan.decoder,
            limits=self._limits,
        )

    async def model(self) -> Response:
        """Tell what the model is: its classes, preprocessing, licence, how it is run, and its card."""
        return _json(self._model)

    async def health(self) -> Response:
        """Tell that the process runs."""
        return Response('{"status":"ok"}', media_type=JSON)

    async def ready(self) -> Response:
        """Tell whether a picture would be answered now."""
        if not self._running().is_ready:
            raise busy("too many pictures wait")
        return Response('{"status":"ready"}', media_type=JSON)

    async def tell_metrics(self) -> Response:
        """Tell counts and times, for Prometheus."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _patiently(self, answer: Awaitable[T]) -> T:
        """Return an answer, or give it up after a while."""
        try:
            async with asyncio.timeout(self._limits.answer_seconds):
                return await answer
        except TimeoutError:
            raise busy(f"no answer after {self._limits.answer_seconds:g} s") from None

    def _running(self) -> Batcher:
        if self._batcher is None:
            raise busy("it is starting or stopping")
        return self._batcher

    def _count(self, rows: list[Any]) -> None:
        for row in rows:
            outcome = str(row.status) if isinstance(row, Refusal) else "answered"
            self.metrics.pictures.labels(outcome).inc()


def _json(record: BaseModel) -> Response:
    return Response(record.model_dump_json(), media_type=JSON)


async def _answer_refusal(request: Request, refusal: Refusal) -> Response:
    return refusal.response()


async def _answer_error(request: Request, error: HeadstartError) -> Response:
    return Refusal(status=422, error=error.message, hint=error.hint or "try another model").response()


async def _answer_http_error(request: Request, error: HTTPException) -> Response:
    hints = {404: "GET /docs tells what there is", 405: "GET /docs tells what each address takes"}
    refusal = Refusal(
        status=error.status_code,
        error=f"{request.method} {request.url.path[:100]}: {error.detail}",
        hint=hints.get(error.status_code, "GET /docs tells what each address takes"),
        headers=error.headers or {},
    )
    return refusal.response()


async def _answer_invalid(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    where = " ".join(str(part) for part in first["loc"])
    return Refusal(
        status=422, error=f"{where}: {first['msg']}", hint="GET /docs tells what each address takes"
    ).response()


async def _answer_failure(request: Request, error: Exception) -> Response:
    return Refusal(
        status=500,
        error=f"something unforeseen happened: {type(error).__name__}",
        hint="this is a fault of headstart; the service's own output says more",
        headers={"connection": "close"},  # uvicorn closes it once it hears of the error
    ).response()
