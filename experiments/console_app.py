"""The console's web page: a small FastAPI application that shows a ``View`` and takes ``Action``s.

Who may use it: whoever has the token, from the page itself. The token comes once in the address and is kept in a
cookie that scripts cannot read and other sites do not send; requests must name this host (against DNS rebinding), and
those that change something must come from this very page (``Origin``, and a header that forms cannot set).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, get_args

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from deft_experiments.console import SAVED_WITHIN_S, Action, Kind

if TYPE_CHECKING:
    from deft_experiments.console import ConsoleOperator

COOKIE: Final = "deft_console"
HEADER: Final = "x-deft-console"
MAX_BODY: Final = 4096
MAX_REASON: Final = 200
_STATIC: Final = {
    "/": ("console.html", "text/html"),
    "/console.js": ("console.js", "text/javascript"),
    "/console.css": ("console.css", "text/css"),
}
_SAFE: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
}


def state(console: ConsoleOperator) -> dict[str, Any]:
    """What the page shows, as JSON."""
    with console.lock:
        v = console.view
        return {
            "version": v.version,
            "phase": v.phase,
            "k": v.k,
            "episodes": v.episodes,
            "label": v.label,
            "instruction": v.instruction,
            "objects": list(v.objects),
            "trouble": v.trouble,
            "correcting": v.correcting,
            "paused": v.paused,
            "rewards": list(v.rewards),
            "last_scored": v.last_scored,
            "note": v.note,
            "stopped": console.stop_reason if console.stopped else "",
            "pictures": sorted(v.pictures),
        }


def make_app(console: ConsoleOperator, token: str, hosts: frozenset[str]) -> Any:
    """The application.

    Args:
        console: what it shows and acts on.
        token: what opens it.
        hosts: values of the ``Host`` header that are ours, such as ``127.0.0.1:8000``.
    """
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    def refused(status: int, why: str) -> Any:
        return JSONResponse({"error": why}, status)

    def knows_token(given: str) -> bool:
        return secrets.compare_digest(given.encode(), token.encode())

    @app.middleware("http")
    async def guard(request: Request, go_on: Callable[[Any], Awaitable[Any]]) -> Any:
        answer = gate(request)
        if answer is None:
            answer = await go_on(request)
        for name, value in _SAFE.items():
            answer.headers[name] = value
        return answer

    def gate(request: Request) -> Any:
        host = request.headers.get("host", "")
        if host not in hosts:
            return refused(421, "this address is not the console's")
        given = request.query_params.get("token", "")
        if request.method == "GET" and request.url.path == "/" and given:
            if not knows_token(given):
                return refused(403, "wrong token: take the address that the command printed")
            opened = RedirectResponse("/", 303)
            opened.set_cookie(COOKIE, token, httponly=True, samesite="strict")
            return opened
        if not knows_token(request.cookies.get(COOKIE, "")):
            return refused(403, "no token: open the address that the command printed")
        if request.method not in ("GET", "HEAD"):
            if request.headers.get("origin", "") not in {f"http://{h}" for h in hosts if h == host}:
                return refused(403, "this request does not come from the console's own page")
            if request.headers.get(HEADER) != "1":
                return refused(403, "this request does not come from the console's own script")
        return None

    def page(name: str, kind: str) -> Any:
        def serve() -> Any:
            text = (resources.files("deft_experiments") / name).read_text(encoding="utf-8")
            return Response(text, media_type=f"{kind}; charset=utf-8")

        return serve

    for path, (name, kind) in _STATIC.items():
        app.get(path)(page(name, kind))

    @app.get("/api/state")
    def show() -> Any:
        return state(console)

    @app.get("/api/picture/{which}")
    def picture(which: str) -> Any:
        with console.lock:
            data = console.view.pictures.get(which)
        return refused(404, "there is no such picture") if data is None else Response(data, media_type="image/png")

    async def body(request: Request) -> dict[str, Any]:
        raw = await request.body()
        if len(raw) > MAX_BODY:
            raise ValueError(f"at most {MAX_BODY} bytes expected")
        data = json.loads(raw or b"{}")
        if not isinstance(data, dict):
            raise ValueError("a JSON object expected")
        return data

    @app.post("/api/do/{kind}")
    async def do(kind: str, request: Request) -> Any:
        try:
            data = await body(request)
            if kind == "stop":
                await asyncio.to_thread(console.stop, "emergency stop on the console")
                return {"saved": True}
            if kind in ("pause", "resume"):
                console.show(paused=kind == "pause")
                return {"saved": True}
            action = _action(kind, data)
        except ValueError as error:
            return refused(422, str(error))
        problem = console.act(action)
        if problem:
            return refused(409, problem)
        if not await asyncio.to_thread(action.wait, SAVED_WITHIN_S):
            return JSONResponse({"saved": False}, 202)
        return refused(500, action.error) if action.error else {"saved": True}

    return app


def _action(kind: str, data: dict[str, Any]) -> Action:
    """An action from what the page sent, which is not trusted.

    Raises:
        ValueError: for an unknown kind, unknown fields or values of a wrong type.
    """
    kinds: dict[str, Kind] = {k: k for k in get_args(Kind)}
    if kind not in kinds:
        raise ValueError(f"expected one of {', '.join(kinds)}, got {kind[:20]!r}")
    unknown = set(data) - {"k", "score", "success", "reason"}
    if unknown:
        raise ValueError(f"unknown fields {sorted(unknown)[:3]}")
    k, score, success, reason = data.get("k", -1), data.get("score"), data.get("success"), data.get("reason", "")
    if isinstance(k, bool) or not isinstance(k, int):
        raise ValueError("k: a whole number expected")
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
        raise ValueError("score: a number expected")
    if success not in (None, True, False) or not isinstance(reason, str) or len(reason) > MAX_REASON:
        raise ValueError(f"success, reason: yes, no or nothing, and at most {MAX_REASON} characters, expected")
    if kind == "void" and not reason:
        reason = "voided on the console"
    return Action(kinds[kind], k, None if score is None else float(score), success, reason)


class Site:
    """The page on a port, served by a thread of its own."""

    def __init__(self, console: ConsoleOperator, host: str, port: int, token: str) -> None:
        """Listens at once; OSError if the port is taken."""
        token = token or secrets.token_urlsafe(32)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            self._socket.listen()  # whoever comes before the server's thread is up waits
        except OSError:
            self._socket.close()
            raise
        self.port = int(self._socket.getsockname()[1])
        place = f"[{host}]" if ":" in host else host
        names = {place, "127.0.0.1", "localhost"} if host in ("127.0.0.1", "localhost") else {place}
        app = make_app(console, token, frozenset(f"{name}:{self.port}" for name in names))
        self.url = f"http://{place}:{self.port}/?token={token}"
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", server_header=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="console", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stops serving."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(timeout=5.0)
        self._socket.close()
