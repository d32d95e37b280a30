"""One POST to the address of a webhook: bounded in time, without redirects, without proxies."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

TIMEOUT_S = 10.0
_NEVER = frozenset({400, 405, 413, 414, 415, 422})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it: ``status`` (0: there was no answer) and, unless it was taken, ``error``."""

    status: int
    error: str = ""

    @property
    def hopeless(self) -> bool:
        """Whether the same will not be taken at any other time either."""
        return self.status in _NEVER


def shown(url: str) -> str:
    """The address for logs, pages and lists: without what may be a secret in it, which is all
    behind the host."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    rest = "/..." if parts.path.strip("/") or parts.query else ""
    return f"{parts.scheme}://{host}{port}{rest}"


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send ``body``. Waits ``TIMEOUT_S`` at most to connect and again for the answer's head, of
    which nothing more is read. Never raises. What the other side says is in no error: it may
    repeat the address."""
    try:
        parts = urlsplit(url)
        connection = _connection(parts)
    except ValueError:  # whose text may repeat the address
        return Answer(0, "the webhook's url is no address")
    except OSError as e:
        return Answer(0, f"{shown(url)} cannot be asked: {e}")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    over, timer, status, error = threading.Event(), None, 0, ""
    try:
        connection.connect()
        timer = threading.Timer(TIMEOUT_S, _cut, (connection.sock, over))
        timer.daemon = True
        timer.start()
        connection.request("POST", target, body, {**headers, **_login(parts)})
        status = connection.getresponse().status
    except TimeoutError:
        over.set()
    except (http.client.HTTPException, ValueError) as e:
        gone = isinstance(e, http.client.RemoteDisconnected)
        why = "it closed the connection" if gone else f"not in HTTP ({type(e).__name__})"
        error = f"{shown(url)} does not answer: {why}"
    except (OSError, RuntimeError) as e:  # RuntimeError: no thread can be started
        error = f"{shown(url)} does not answer: {e or type(e).__name__}"
    finally:
        if timer is not None:
            timer.cancel()
        connection.close()
    if over.is_set():
        return Answer(0, f"{shown(url)} did not answer in {TIMEOUT_S:g} s")
    if error:
        return Answer(0, error)
    if 200 <= status < 300:
        return Answer(status)
    if 300 <= status < 400:
        return Answer(status, f"{shown(url)} redirects ({status}), which is not followed")
    return Answer(status, f"{shown(url)} answered {status}")


def _cut(sock: socket.socket, over: threading.Event) -> None:
    """End a connection whose other side says a little now and then and never comes to an end."""
    over.set()
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # past TLS, which would wait


def _connection(parts: SplitResult) -> http.client.HTTPConnection:
    host = parts.hostname
    if not host:
        raise ValueError("it names no host")
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port or 80, timeout=TIMEOUT_S)
    context = ssl.create_default_context()
    return http.client.HTTPSConnection(host, parts.port or 443, timeout=TIMEOUT_S, context=context)


def _login(parts: SplitResult) -> dict[str, str]:
    if not parts.username:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
