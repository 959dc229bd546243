"""What stands before the page: the hosts it answers to, a login, how much may be sent, how browsers treat it.

A pure ASGI middleware: it holds nothing back of what is sent or received.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import json
import os
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST = 1_000_000_000
"""Bytes of one upload."""
PER_HOUR = 4_000_000_000
"""Bytes that one address may send in an hour."""
HOUR = 60
"""Minutes."""
AUTH, HOSTS = "UNETSEG_AUTH", "UNETSEG_HOSTS"
STARTUP = "/gradio_api/startup-events"
"""What Gradio asks of itself once it listens, without a login."""

# Gradio makes functions of text: of `js_on_load`, and of the template of an HTML element. Its page begins with scripts,
# which are named by their hashes; styles stand in elements and attributes, where none can be named.
# Frames: a Space is shown in one of huggingface.co.
POLICY = {
    "default-src": "'none'",
    "script-src": "'self' 'unsafe-eval'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "manifest-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'self'",
    "frame-ancestors": "'self'",
}
SCRIPT = re.compile(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)
SPACE_FRAMES = "'self' https://huggingface.co https://*.hf.space"

ANSWERS = re.compile(
    r"/(?:$|config$|theme\.css$|favicon\.ico$|manifest\.json$|pwa_icon(?:/\d+)?$|robots\.txt$|static/|assets/|svelte/"
    r"|unetseg/"
    r"|gradio_api/(?:info$|openapi\.json$|app_id$|startup-events$|theme\.css$|heartbeat/|call/|queue/(?:join|data)$"
    r"|cancel$|reset/?$|upload$|upload_progress$|file=|mcp(?:/|$)))"
)
"""Paths that are answered; all else of Gradio has no use here: proxies, monitoring, deep links, editing by prompts."""


class TooMuch(Exception):  # noqa: N818, what happened, not a fault
    """More came than may come: raised where it is received, and answered by the guard."""

    def __init__(self, status: int, sentence: str) -> None:
        self.status, self.sentence = status, sentence


@dataclass(frozen=True)
class Rules:
    """What the guard goes by. hosts: names; addresses in digits are always answered. auth: `user:password`.

    space: whether this is a Space, whose proxy says where a request comes from.
    """

    hosts: frozenset[str]
    auth: str | None = None
    space: bool = False
    largest: int = LARGEST
    per_hour: int = PER_HOUR

    @classmethod
    def of(cls, bound: str | None, environment: Mapping[str, str] = os.environ) -> Rules:
        """Those of a page that listens on an address, by the environment. ValueError for a login without a colon."""
        named = {"localhost", socket.gethostname(), bound or "", environment.get("GRADIO_SERVER_NAME", "")}
        named |= {environment.get("SPACE_HOST", ""), *environment.get(HOSTS, "").split(",")}
        auth = environment.get(AUTH) or None
        if auth is not None and not all(auth.partition(":")):
            raise ValueError(f"{AUTH} is user:password, both of them and a colon; set it so, or not at all")
        hosts = frozenset(name.strip().lower() for name in named if name.strip())
        return cls(hosts, auth, space="SPACE_ID" in environment)

    def policy(self, page: bytes = b"") -> str:
        """The content security policy; of a page with the hashes of the scripts that stand in it."""
        policy = POLICY | ({"frame-ancestors": SPACE_FRAMES} if self.space else {})
        hashes = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in SCRIPT.findall(page)]
        policy["script-src"] += "".join(f" 'sha256-{one}'" for one in hashes)
        return "; ".join(f"{name} {value}" for name, value in policy.items())

    def knows(self, host: str) -> bool:
        """Whether a host, of a `Host` header or an origin, is meant: else a stranger's name leads here."""
        name = urlsplit(f"//{host}").hostname or ""
        if name in self.hosts or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True  # no name at all, so none that leads elsewhere first

    def admits(self, header: str) -> bool:
        """Whether an `Authorization` header is the login."""
        if self.auth is None:
            return True
        kind, _, value = header.partition(" ")
        try:
            given = base64.b64decode(value, validate=True) if kind.lower() == "basic" else b""
        except binascii.Error:
            given = b""
        return hmac.compare_digest(given, self.auth.encode())


class Quota:
    """Bytes that each address sent within the last hour, minute by minute."""

    def __init__(self, per_hour: int) -> None:
        self.per_hour = per_hour
        self._sent: dict[str, dict[int, int]] = {}
        self._tidied = 0

    def left(self, address: str, now: float | None = None) -> int:
        """What it may still send."""
        minute = self._minute(now)
        sent = self._sent.get(address, {})
        return self.per_hour - sum(count for when, count in sent.items() if when > minute - HOUR)

    def add(self, address: str, count: int, now: float | None = None) -> None:
        """It has sent so many."""
        minute = self._minute(now)
        sent = self._sent.setdefault(address, {})
        sent[minute] = sent.get(minute, 0) + count

    def _minute(self, now: float | None) -> int:
        """The number of this minute, with which addresses that sent nothing for an hour are forgotten."""
        minute = int((time.monotonic() if now is None else now) // 60)
        if minute != self._tidied:
            self._tidied = minute
            self._sent = {who: sent for who, sent in self._sent.items() if max(sent) > minute - HOUR}
        return minute


class Guard:
    """The middleware: `rules` say what it lets through."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self.app, self.rules, self.quota = app, rules, Quota(rules.per_hour)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # the page has no use for websockets
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = Headers(scope=scope)
        if self.rules.space and scope.get("client"):
            scope["client"] = (_nearest(headers.get("x-forwarded-for", ""), scope["client"][0]), 0)
        refused = self._refusal(scope, headers)
        if refused is not None:
            await _answer(*refused, self._secured(send))
            return
        started = False

        async def sent(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, self._counted(scope, headers, receive), self._secured(sent))
        except TooMuch as much:
            if started:
                raise
            await _answer(much.status, much.sentence, self._secured(send))

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Status and sentence for what isn't let through."""
        rules, path = self.rules, scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        host = headers.get("host", "")
        if not rules.knows(host):
            return 421, f"this page is not {host}: add the name to {HOSTS} where it is started, or use its own address"
        if path != STARTUP and not rules.admits(headers.get("authorization", "")):
            return 401, "this page wants a user and a password"
        if ANSWERS.match(path) is None:
            return 404, "there is nothing at this address"
        if path.startswith("/gradio_api/file=http"):
            return 403, "this page fetches nothing from elsewhere"
        if scope["method"] not in ("GET", "HEAD"):
            origin = headers.get("origin")
            if origin is not None and not rules.knows(urlsplit(origin).netloc):
                return 403, f"{origin} may not ask this page for anything; open the page itself"
            length = headers.get("content-length", "")
            if length.isdecimal():
                try:
                    self._check(scope, int(length))
                except TooMuch as much:
                    return much.status, much.sentence
        return None

    def _check(self, scope: Scope, length: int) -> None:
        if length > self.rules.largest:
            raise TooMuch(413, f"more than {_words(self.rules.largest)} came; send less at once")
        if length > self.quota.left(_address(scope)):
            raise TooMuch(429, f"you have sent {_words(self.rules.per_hour)} within an hour; try again later")

    def _counted(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        """`receive` that counts what comes, and raises once it is too much."""
        total = 0

        async def counted() -> Message:
            nonlocal total
            message = await receive()
            if body := message.get("body", b""):
                total += len(body)
                self._check(scope, len(body))
                if total > self.rules.largest:
                    raise TooMuch(413, f"more than {_words(self.rules.largest)} came; send less at once")
                self.quota.add(_address(scope), len(body))
            return message

        return counted

    def _secured(self, send: Send) -> Send:
        """`send` with the headers that tell browsers what they may do; those of HTML wait for its scripts."""
        waiting: Message | None = None

        async def secured(message: Message) -> None:
            nonlocal waiting
            if waiting is not None:
                MutableHeaders(scope=waiting)["Content-Security-Policy"] = self.rules.policy(message.get("body", b""))
                await send(waiting)
                waiting = None
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = self.rules.policy()
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
                headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                if not self.rules.space:
                    headers["X-Frame-Options"] = "SAMEORIGIN"
                if headers.get("content-type", "").startswith("text/html"):
                    waiting = message
                    return
            await send(message)

        return secured


async def _answer(status: int, sentence: str, send: Send) -> None:
    body = json.dumps({"error": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="unetseg", charset="UTF-8"'))
    if status in (413, 429):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _address(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""


def _nearest(forwarded: str, otherwise: str) -> str:
    """The last public address that proxies put down: what stands before it the visitor may have written."""
    for part in reversed(forwarded.split(",")):
        try:
            if ipaddress.ip_address(part.strip()).is_global:
                return part.strip()
        except ValueError:
            break
    return otherwise


def _words(count: int) -> str:
    return f"{count / 1e9:g} GB" if count >= 1e9 else f"{count / 1e6:g} MB"
