"""The dashboard's server: the page, and what it asks for. `serve` runs it; `app` is the Starlette application.

Runs and files are looked up by names among those that were found below the folder, so that no request names a path.
"""

from __future__ import annotations

import json
import math
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .runs import Run, Runs

HERE = Path(__file__).parent / "static"
MISSING = "rushlight board needs {}: pip install 'rushlight[board]'"
POINTS = 1000  # of a curve that are sent
POLICY = "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'"
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
           "Cache-Control": "no-cache"}


class MissingPackage(ImportError):
    """A package of the extra `board` is not there."""


def plotly_file() -> str:
    """The path of plotly.min.js in the package plotly, which is not imported for this. Raises MissingPackage."""
    spec = find_spec("plotly")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = os.path.join(folder, "package_data", "plotly.min.js")
        if os.path.isfile(path):
            return path
    raise MissingPackage(MISSING.format("plotly"))


def clean(x: Any) -> Any:
    """`x` with None in the place of what JSON has no numbers for."""
    if isinstance(x, float):
        return x if math.isfinite(x) else None
    if isinstance(x, dict):
        return {str(k): clean(v) for k, v in x.items()}
    return [clean(v) for v in x] if isinstance(x, (list, tuple)) else x


def app(root: str | os.PathLike, hosts: tuple[str, ...] = ("127.0.0.1", "localhost")) -> Any:
    """The application for the runs below `root`. hosts: names under which browsers may ask for it ("*": all).

    Raises MissingPackage, an ImportError, without Starlette or plotly.
    """
    try:
        from starlette.applications import Starlette
        from starlette.exceptions import HTTPException
        from starlette.middleware import Middleware
        from starlette.middleware.gzip import GZipMiddleware
        from starlette.middleware.trustedhost import TrustedHostMiddleware
        from starlette.responses import FileResponse, Response
        from starlette.routing import Route
    except ImportError:
        raise MissingPackage(MISSING.format("starlette")) from None
    runs, plotly = Runs(root), plotly_file()

    def answer(content: Any) -> Response:
        try:
            text = json.dumps(content, allow_nan=False, separators=(",", ":"))
        except ValueError:
            text = json.dumps(clean(content), separators=(",", ":"))
        return Response(text, media_type="application/json", headers=HEADERS)

    def run_of(request) -> Run:
        found = runs.runs.get(request.query_params.get("run", ""))
        if found is None:
            raise HTTPException(404, "there is no such run")
        return found

    def listing(request):
        runs.refresh()
        return answer({"root": os.path.abspath(runs.root), "reading": runs.reading,
                       "runs": [r.about() for _, r in sorted(runs.runs.items())]})

    def scalars(request):
        return answer(run_of(request).scalars(POINTS))

    def media(request):
        return answer(run_of(request).shown_media())

    def looked_at(request):
        return answer(run_of(request).looked_at())

    def picture(request):
        ask, number = request.query_params, request.query_params.get("number", "0")
        if not (number.isascii() and number.isdigit()) or len(number) > 9:
            raise HTTPException(400, "number should be a whole number")
        found = run_of(request).picture(ask.get("tag"), int(number), ask.get("file"))
        if found is None:
            raise HTTPException(404, "there is no such picture")
        return Response(found[0], media_type=found[1], headers=HEADERS)

    def file(path: str | Path, headers: dict[str, str] = HEADERS):
        def send(request):
            return FileResponse(path, headers=headers)

        return send

    routes = [Route("/", file(HERE / "index.html"))]
    routes += [Route(f"/{p.name}", file(p)) for p in sorted(HERE.iterdir()) if p.suffix in (".js", ".css", ".svg")]
    routes.append(Route("/plotly.js", file(plotly, {**HEADERS, "Cache-Control": "max-age=86400"})))
    routes += [Route(f"/api/{f.__name__}", f) for f in (listing, scalars, media, looked_at, picture)]
    return Starlette(routes=routes, middleware=[
        Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts)), Middleware(GZipMiddleware, minimum_size=1000)])


def serve(root: str | os.PathLike, host: str = "127.0.0.1", port: int = 6007, ready: Any = None) -> None:
    """Serve the page until interrupted.

    port: 0 for any that is free. ready: called with the page's address when it can be opened. Raises
    FileNotFoundError if there is no such folder, MissingPackage, and OSError if the port is taken.
    """
    import socket

    if not os.path.isdir(root):
        raise FileNotFoundError(f"there is no folder '{os.fspath(root)}'")
    anywhere = host in ("0.0.0.0", "::")
    made = app(root, ("*",) if anywhere else ("127.0.0.1", "localhost", host))
    try:
        import uvicorn
    except ImportError:
        raise MissingPackage(MISSING.format("uvicorn")) from None
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((host, port))
        s.listen(64)
        if ready is not None:
            name = "127.0.0.1" if anywhere else f"[{host}]" if ":" in host else host
            ready(f"http://{name}:{s.getsockname()[1]}/")
        uvicorn.Server(uvicorn.Config(made, log_level="warning", lifespan="off")).run(sockets=[s])
