"""The page's own HTTP API, beside Gradio's in the same app; docs/api.md describes it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ..version import __version__
from .downloads import Choices
from .guard import Rules, TooMuch
from .handlers import Asked, Page
from .jobs import Busy, Event, Visitor
from .result import Result
from .store import Gone
from .uploads import received

log = logging.getLogger(__name__)

VIEWER = Path(__file__).with_name("viewer")
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
ALIVE = 10.0
"""Seconds after which a silent stream says that it is still there."""
Handler = Callable[[Request], Awaitable[Response]]


def routes(page: Page, rules: Rules) -> list[Route]:
    """The API of a page; see docs/api.md. rules: whose limits it tells."""

    async def viewer(request: Request) -> Response:
        return await run_in_threadpool(_viewer_file, request.path_params["name"], request.headers.get("if-none-match"))

    async def models(request: Request) -> Response:
        found = await run_in_threadpool(page.models)
        limits = {"bytes": rules.largest, "expires_s": page.store.expires, "per_hour_bytes": rules.per_hour}
        return JSONResponse({"models": found, "limits": limits, "version": __version__})

    async def first(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(page.first))

    async def info(request: Request) -> Response:
        return JSONResponse(page.info(request.path_params["key"]))

    async def runs(request: Request) -> Response:
        visitor = visitor_of(request)
        page.jobs.check(visitor)
        key = page.store.new_key()
        try:
            asked = await _asked(page, request, key)
        except BaseException:  # whatever ends the upload
            page.store.forget_unless_kept(key)
            raise
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_lines(page, asked, visitor), media_type="text/event-stream", headers=headers)

    def bytes_of(make: Callable[[Result, int, Request], bytes]) -> Handler:
        async def answer(request: Request) -> Response:
            key, index = request.path_params["key"], _number(request, "index")
            result = page.result(key)
            async with page.turn(result):
                made = await run_in_threadpool(make, result, index, request)
            page.store.fit(key)
            return Response(made, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})

        return answer

    def tile(result: Result, index: int, request: Request) -> bytes:
        top, left, bottom, right = (_number(request, name) for name in ("top", "left", "bottom", "right"))
        return result.tile(index, top, left, bottom, right)

    async def values(request: Request) -> Response:
        result = page.result(request.path_params["key"])
        index, y, x = (_number(request, name) for name in ("index", "y", "x"))
        return JSONResponse(result.values(index, y, x))

    async def counts(request: Request) -> Response:
        result, choices = page.result(request.path_params["key"]), _choices(request)
        async with page.turn(result):
            found = await run_in_threadpool(result.counts, choices.thresholds, choices.index)
        return JSONResponse({"labels": found})

    async def files(request: Request) -> Response:
        key, kind = request.path_params["key"], request.path_params["kind"]
        async with page.turn(page.result(key)):
            path, name = await run_in_threadpool(page.download, key, kind, _choices(request))
        headers = {"Cache-Control": "no-store"}
        done = BackgroundTask(page.downloaded, key, path)
        return FileResponse(path, filename=name, headers=headers, background=done)

    at = "/unetseg/results/{key}"
    found: list[tuple[str, Handler, str]] = [
        ("/unetseg/viewer/{name}", viewer, "GET"),
        ("/unetseg/models", models, "GET"),
        ("/unetseg/first", first, "GET"),
        ("/unetseg/runs", runs, "POST"),
        (at, info, "GET"),
        (f"{at}/slices/{{index}}", bytes_of(lambda result, index, _: result.slice(index)), "GET"),
        (f"{at}/entropy/{{index}}", bytes_of(lambda result, index, _: result.entropy(index)), "GET"),
        (f"{at}/tiles/{{index}}", bytes_of(tile), "GET"),
        (f"{at}/values/{{index}}", values, "GET"),
        (f"{at}/counts", counts, "GET"),
        (f"{at}/files/{{kind}}", files, "GET"),
    ]
    return [Route(path, _explained(handler), methods=[method]) for path, handler, method in found]


def visitor_of(request: Request) -> Visitor:
    """Who asks: the address, and the random id that a page calls itself by."""
    return Visitor(request.client.host if request.client else "", request.headers.get("x-page", "")[:64])


async def _asked(page: Page, request: Request, key: str) -> Asked:
    """What a form asks for, its files under a key; ValueError and Gone for what can't be."""
    form = await received(request.headers.get("content-type", ""), request.stream(), page.folder / key)
    fields = form.fields
    model = fields.get("model", "")
    page.predictor(model)  # refuses an unknown one
    if "example" in fields:
        number = int(fields["example"]) if fields["example"].isdecimal() else -1
        return await run_in_threadpool(page.example, model, number, key)
    brought = await run_in_threadpool(form.upload)
    if brought is None and "again" not in fields:
        raise ValueError("nothing to run: send a file, the key of a result as `again`, or the number of an example")
    upload, synthetic = (brought, False) if brought else await run_in_threadpool(page.again, fields["again"], key)
    return Asked(
        model,
        key,
        upload,
        series=fields.get("series") or None,
        value_range=fields.get("value_range", ""),
        bands=fields.get("bands", ""),
        hounsfield=fields.get("hounsfield") == "1",
        accept=fields.get("accept") == "1",
        synthetic=synthetic,
    )


async def told(page: Page, asked: Asked, visitor: Visitor) -> AsyncGenerator[Event | None]:
    """The events of a run as they come, None now and then where there are none; a run ends when nobody listens."""
    events: asyncio.Queue[Event | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def tell(event: Event | None) -> None:
        with contextlib.suppress(RuntimeError):  # the page ends
            loop.call_soon_threadsafe(events.put_nowait, event)

    try:
        job = await run_in_threadpool(page.start, asked, visitor, tell)
    except ValueError as error:
        yield {"state": "error", "error": str(error)}
        return
    try:
        while True:
            try:
                event = await asyncio.wait_for(events.get(), ALIVE)
            except TimeoutError:
                yield None
                continue
            if event is None:
                return
            yield event
    finally:
        page.jobs.cancel(job)


async def _lines(page: Page, asked: Asked, visitor: Visitor) -> AsyncIterator[str]:
    async with contextlib.aclosing(told(page, asked, visitor)) as events:
        async for event in events:
            yield ": still here\n\n" if event is None else f"data: {json.dumps(event, ensure_ascii=False)}\n\n"


def _number(request: Request, name: str) -> int:
    """A number of the path or of what is asked for; ValueError for none."""
    said = request.path_params.get(name, request.query_params.get(name, ""))
    if not said.isdecimal():
        raise ValueError(f"{name} is a number from 0, got {said!r}")
    return int(said)


def numbers(said: str | None, name: str) -> list[float] | None:
    """Numbers with commas between them, if any are given; ValueError for what is none."""
    try:
        return [float(part) for part in said.split(",")] if said else None
    except ValueError:
        raise ValueError(f"{name} are numbers such as 0.5,0.25; got {said!r}") from None


def _choices(request: Request) -> Choices:
    given = request.query_params
    window = None
    if bounds := numbers(given.get("window"), "window"):
        if len(bounds) != 2 or bounds[0] >= bounds[1]:
            raise ValueError(f"a window is low,high, got {given['window']!r}")
        window = (bounds[0], bounds[1])
    opacity, *_ = numbers(given.get("opacity"), "opacity") or [0.45]
    return Choices(
        numbers(given.get("thresholds"), "thresholds"),
        "argmax" if given.get("view") == "argmax" else "labels",
        _number(request, "slice") if "slice" in given else 0,
        min(max(opacity, 0.0), 1.0),
        window,
        [int(label) for label in numbers(given.get("hidden"), "hidden") or ()],
        given.get("outline") == "1",
    )


def _viewer_file(name: str, known: str | None) -> Response:
    path = VIEWER / name
    kind = KINDS.get(path.suffix)
    if kind is None or path.parent != VIEWER or not path.is_file():
        return JSONResponse({"error": f"the viewer has no file {name!r}"}, status_code=404)
    data = path.read_bytes()
    headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()[:16]}"', "Cache-Control": "no-cache"}
    if known == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=kind, headers=headers)


def _explained(handler: Handler) -> Handler:
    """The handler, whose exceptions are answers."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Gone as gone:
            return JSONResponse({"error": str(gone), "gone": True}, status_code=410)
        except Busy as busy:
            return JSONResponse({"error": str(busy)}, status_code=429)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        except (TooMuch, ClientDisconnect):
            raise
        except Exception as error:  # memory or disk
            log.exception("%s failed", request.url.path)
            what = str(error).partition("\n")[0] or type(error).__name__
            return JSONResponse({"error": f"this could not be made ({what}); try again later"}, status_code=500)

    return answer
