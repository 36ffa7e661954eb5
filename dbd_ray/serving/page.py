"""The page for trying the endpoint: static files of the package, nothing from other hosts."""

from pathlib import Path

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

_WEB = Path(__file__).parent / "web"


def add_page(app: FastAPI) -> None:
    """Serve the page at / and its files below /static."""

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(_WEB / "index.html")

    app.mount("/static", StaticFiles(directory=_WEB), name="static")
