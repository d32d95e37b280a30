"""Where the box is: one string in, one Address out. Used by every program that talks to it.

Forms: a path or ``unix:PATH`` (the box's socket), ``http://host:port``, ``https://host:port`` and
``host:port``. Without one: $PACHYBOX_ADDRESS, else the socket in the data directory.
"""

# pathlib would cost every start 8 ms
# ruff: noqa: PTH100, PTH110, PTH111, PTH112, PTH118
from __future__ import annotations

import os
from dataclasses import dataclass

from pachybox.errors import InvalidArgument

DEFAULT_PORT = 30600
SYSTEM_HOME = "/var/lib/pachybox"
_SUN_PATH = 107  # bytes of a socket path that fit in struct sockaddr_un


@dataclass(frozen=True, slots=True)
class Address:
    """Either ``path`` (a unix socket) or ``host`` and ``port``. ``secure``: the box speaks TLS
    there; ``ca`` is the file of the certificates it is known by, "" = those of this machine."""

    path: str = ""
    host: str = ""
    port: int = 0
    secure: bool = False
    ca: str = ""

    def __str__(self) -> str:
        return self.path or f"{'https' if self.secure else 'http'}://{self.netloc}"

    @property
    def local(self) -> bool:
        """Whether descriptors can be passed: the box is on this machine behind a unix socket."""
        return bool(self.path)

    @property
    def netloc(self) -> str:
        """``host:port`` as the Host header and URLs want it."""
        if self.path:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def data_directory() -> str:
    """$PACHYBOX_HOME, else $XDG_DATA_HOME/pachybox, else ~/.local/share/pachybox; absolute. For
    root, who has none there, the system service's, where there is one."""
    if home := os.environ.get("PACHYBOX_HOME"):
        return os.path.abspath(home)
    base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    own = os.path.join(os.path.abspath(base), "pachybox")
    system = os.geteuid() == 0 and not os.path.exists(own) and os.path.isdir(SYSTEM_HOME)
    return SYSTEM_HOME if system else own


def socket_path(home: str | None = None) -> str:
    """The box's socket in the data directory ``home``."""
    return os.path.join(home or data_directory(), "run", "box.sock")


def resolve(text: str | None = None, ca: str | None = None) -> Address:
    """The address named by ``text``, the environment or the data directory, in that order.
    ``ca``: the file of certificates of an https one; without it $PACHYBOX_CA.

    Raises InvalidArgument when the text has no form known here.
    """
    text = text or os.environ.get("PACHYBOX_ADDRESS") or socket_path()
    if text.startswith("unix:"):
        text = "/" + text[5:].lstrip("/") if text.startswith("unix:/") else text[5:]
    if text.startswith(("/", "./", "../", "~")) or text.endswith(".sock"):
        return Address(path=os.path.abspath(os.path.expanduser(text)))
    secure = text.startswith("https://")
    rest = text.removeprefix("https://" if secure else "http://").rstrip("/")
    host, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]"):
        host, port = rest, str(DEFAULT_PORT)
    host = host.removeprefix("[").removesuffix("]")
    if "://" in rest or "/" in rest or not host or not port.isdecimal() or int(port) > 65535:
        raise InvalidArgument(
            f"address {text!r} is not understood", "use a socket's path or https://host:port"
        )
    if not secure:
        return Address(host=host, port=int(port))
    ca = ca or os.environ.get("PACHYBOX_CA", "")
    return Address(host=host, port=int(port), secure=True, ca=os.path.expanduser(ca))


def connectable(path: str) -> tuple[str, int | None]:
    """A name for the socket at ``path`` that fits in an address, and a descriptor to close.

    A path that is too long is reached through a descriptor of its directory.
    """
    if len(os.fsencode(path)) <= _SUN_PATH:
        return path, None
    folder, name = os.path.split(path)
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{fd}/{name}", fd
