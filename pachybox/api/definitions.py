"""The messages and services the doors speak: Pachyderm 2.12's and ``pachybox.v1``.

Loaded on first use from ``pachyderm.binpb.gz`` (made by
``tests/unit/api/rebuild_definitions.py``) and from ``pachybox.api.v1`` into protobuf's
default pool, so the well-known types are the ones ``google.protobuf`` exports. Nothing here
knows how a message travels.

Handlers write ``from pachybox.api.definitions import pfs`` and ``pfs.RepoInfo(...)``.
"""

from __future__ import annotations

import threading
import zlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf import (  # noqa: F401  # the files the definitions depend on
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)

from pachybox.api import v1

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, ServiceDescriptor

_DATA = Path(__file__).with_name("pachyderm.binpb.gz")
_lock = threading.Lock()
_services: list[str] = []


def stored() -> descriptor_pb2.FileDescriptorSet:
    """Pachyderm's definitions as committed with the package, dependencies first."""
    data = zlib.decompress(_DATA.read_bytes(), wbits=31)  # 31 = gzip framing
    return descriptor_pb2.FileDescriptorSet.FromString(data)


def all_files() -> list[descriptor_pb2.FileDescriptorProto]:
    """Every file of definitions, ours last; Pachyderm's with what the box adds to them."""
    files = stored().file
    for file in files:
        v1.add_to(file)
    return [*files, v1.file_descriptor()]


def pool() -> descriptor_pool.DescriptorPool:
    """The pool that holds every definition; loads them at the first call (about 2 ms)."""
    shared = descriptor_pool.Default()
    if not _services:
        with _lock:
            if not _services:
                found = []
                for file in all_files():
                    shared.AddSerializedFile(file.SerializeToString())
                    found += [f"{file.package}.{service.name}" for service in file.service]
                _services.extend(found)
    return shared


def service_names() -> list[str]:
    """Full names of all services: Pachyderm's first, then ours."""
    pool()
    return list(_services)


def service(full_name: str) -> ServiceDescriptor:
    """The descriptor of a service. Raises KeyError when there is none."""
    return pool().FindServiceByName(full_name)


@cache
def message(full_name: str) -> Any:
    """The class of a message by its full name. Raises KeyError when there is none."""
    return message_class(pool().FindMessageTypeByName(full_name))


def message_class(descriptor: Descriptor) -> Any:
    """The class of the message ``descriptor`` describes."""
    return message_factory.GetMessageClass(descriptor)


class Package:
    """The messages of one protobuf package as attributes: ``pfs.RepoInfo(...)``.

    An enum is an attribute too, with ``Name(number)`` and ``Value(name)``. A name the
    package does not have raises AttributeError.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        full = f"{self._name}.{name}"
        try:
            found = message(full)
        except KeyError:
            found = self._enum(full)
        setattr(self, name, found)  # found again without this method
        return found

    @staticmethod
    def _enum(full: str) -> Any:
        from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

        try:
            return EnumTypeWrapper(pool().FindEnumTypeByName(full))
        except KeyError:
            raise AttributeError(f"no message or enum {full} is defined") from None


admin = Package("admin_v2")
auth = Package("auth_v2")
box = Package(v1.PACKAGE)
debug = Package("debug_v2")
enterprise = Package("enterprise_v2")
license_ = Package("license_v2")
logs = Package("logs")
pfs = Package("pfs_v2")
pps = Package("pps_v2")
storage = Package("storage")
taskapi = Package("taskapi")
transaction = Package("transaction_v2")
version = Package("versionpb_v2")
worker = Package("pachyderm.worker")
