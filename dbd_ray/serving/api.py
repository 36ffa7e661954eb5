"""The HTTP API: its routes, and the page for trying it."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.responses import FileResponse
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.datastructures import UploadFile
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles

from dbd_ray import __version__
from dbd_ray.config.serve import ServeConfig
from dbd_ray.serving.body import read_file, read_photo, read_photos
from dbd_ray.serving.handlers import add_handlers
from dbd_ray.serving.incoming import listed
from dbd_ray.serving.keys import ApiKeys
from dbd_ray.serving.measures import GatewayMeasures
from dbd_ray.serving.openapi import BATCH_BODY, ERRORS, FOCUS_BODY, FOCUS_RESPONSE
from dbd_ray.serving.options import BatchOptions, FocusOptions, accepted, check_once, check_tile, wanted_pictures
from dbd_ray.serving.refusals import Refusal
from dbd_ray.serving.remote import PhotoDetector
from dbd_ray.serving.schemas import (
    BatchAnswer,
    BatchResult,
    FocusAnswer,
    LimitsAnswer,
    ModelAnswer,
    PhotoErrorAnswer,
    StatusAnswer,
)
from dbd_ray.serving.work import PhotoWork

_READY_TIMEOUT_S = 3
_BATCH_PHOTOS_AT_ONCE = 4  # in memory; the other photos of a batch wait on the disk
_WEB = Path(__file__).parent / "web"  # the page's files, which load nothing from other hosts
# for OpenAPI only: `ApiKeys.check` decides, before a body is read
_KEY_SCHEMES = [Depends(HTTPBearer(auto_error=False)), Depends(APIKeyHeader(name="X-API-Key", auto_error=False))]


def build_api(config: ServeConfig, detector: PhotoDetector, keys: ApiKeys, measures: GatewayMeasures) -> FastAPI:
    """Build the ASGI application that the gateway serves.

    Args:
        config: Settings of the endpoint.
        detector: Detector that answers photos.
        keys: API keys that are let in under /v1.
        measures: Metrics in which requests are counted.
    """
    limits = config.limits
    work = PhotoWork(detector, limits)
    app = FastAPI(
        title="dbd_ray",
        version=__version__,
        description="Which pixels of a photo are in focus. Photos are neither logged nor kept.",
        docs_url=None,  # these pages load scripts from foreign hosts
        redoc_url=None,
    )

    async def let_in(request: Request) -> None:
        keys.check(request.headers)

    v1 = APIRouter(prefix="/v1", dependencies=[Depends(let_in), *_KEY_SCHEMES])

    @v1.post("/focus", response_model=FocusAnswer, responses=FOCUS_RESPONSE | ERRORS, openapi_extra=FOCUS_BODY)
    async def focus(request: Request, options: Annotated[FocusOptions, Query()]) -> Response | FocusAnswer:
        """Find what is in focus in a photo: JSON, or with `Accept: image/png` one picture."""
        check_once(request.query_params.multi_items())
        answer = accepted(listed(request, "accept"))
        pictures = wanted_pictures(options, answer)
        check_tile(options, limits.max_tile)
        data = await read_photo(request, limits)
        if answer == "image/png":
            return Response(await work.picture(data, options, pictures[0]), media_type="image/png")
        return await work.answer(data, options, pictures, preview=options.preview)

    @v1.post("/batch", responses=ERRORS, openapi_extra=BATCH_BODY)
    async def batch(request: Request, options: Annotated[BatchOptions, Query()]) -> BatchAnswer:
        """Find what is in focus in several photos; a bad one harms only itself."""
        check_once(request.query_params.multi_items())
        if accepted(listed(request, "accept")) != "application/json":
            raise Refusal("not_acceptable", "several photos are answered as application/json: send it in Accept")
        pictures = wanted_pictures(options, "application/json")
        check_tile(options, limits.max_tile)

        turn = asyncio.Semaphore(_BATCH_PHOTOS_AT_ONCE)

        async def one(file: UploadFile) -> BatchResult:
            try:
                async with turn:
                    answer = await work.answer(await read_file(file, limits), options, pictures)
            except Refusal as refusal:
                measures.refused(refusal.reason)
                error = PhotoErrorAnswer(reason=refusal.reason, message=refusal.message)
                return BatchResult(name=file.filename or "", answer=None, error=error)
            return BatchResult(name=file.filename or "", answer=answer, error=None)

        async with read_photos(request, limits) as files:
            results = await asyncio.gather(*(one(file) for file in files))
        return BatchAnswer(results=results, failed=sum(result.error is not None for result in results))

    @v1.get("/model", responses=ERRORS)
    async def model() -> ModelAnswer:
        """Say which model answers, its card, and what this server takes."""
        allowed = LimitsAnswer.model_validate({**limits.model_dump(), "needs_key": bool(keys)})
        return ModelAnswer.model_validate({**await _described(detector), "limits": allowed})

    app.include_router(v1)

    @app.get("/livez")
    async def livez() -> StatusAnswer:
        """Tell that the gateway runs."""
        return StatusAnswer()

    @app.get("/readyz", responses={503: ERRORS[503]})
    async def readyz() -> StatusAnswer:
        """Tell whether photos would be answered; who is busy is ready."""
        try:
            await _described(detector)
        except Refusal as refusal:
            if refusal.reason != "busy":
                raise
        return StatusAnswer()

    if config.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=config.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "Content-Encoding", "X-API-Key", "X-Request-Id"),
            expose_headers=("Retry-After", "X-Request-Id"),
        )
    add_handlers(app, measures)
    if config.page:
        _add_page(app)
    return app


def _add_page(app: FastAPI) -> None:
    """Serve the page at / and its files below /static."""

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(_WEB / "index.html")

    app.mount("/static", StaticFiles(directory=_WEB), name="static")


async def _described(detector: PhotoDetector) -> dict[str, Any]:
    try:
        async with asyncio.timeout(_READY_TIMEOUT_S):
            return await detector.model()
    except TimeoutError:
        message = f"no detector answered within {_READY_TIMEOUT_S} s: ask again a little later"
        raise Refusal("model_unavailable", message) from None
