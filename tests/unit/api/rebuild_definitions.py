"""Rebuild Pachyderm 2.12's protobuf definitions from the installed ``pachyderm_sdk``.

A developer's tool, not part of the box: ``python tests/unit/api/rebuild_definitions.py``
rewrites ``pachybox/api/pachyderm.binpb.gz``, which ``pachybox.api.definitions`` loads. A
test rebuilds the set and compares, so the two cannot drift apart.

The SDK holds betterproto dataclasses (field number, type, oneof group, map types) and
client stubs (path, cardinality, classes); both together say all that a ``.proto`` file
would. Importing the SDK patches its ``Repo`` class, so this runs only here.
"""

from __future__ import annotations

import ast
import dataclasses
import gzip
import importlib
import inspect
import typing
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import betterproto
from google.protobuf import descriptor_pb2 as pb

TARGET = Path(__file__).resolve().parents[3] / "pachybox" / "api" / "pachyderm.binpb.gz"

# The SDK's modules and the protobuf package each one was generated from.
PACKAGES = {
    "admin": "admin_v2",
    "auth": "auth_v2",
    "cdr": "cdr",
    "debug": "debug_v2",
    "enterprise": "enterprise_v2",
    "identity": "identity_v2",
    "license": "license_v2",
    "logs": "logs",
    "metadata": "metadata",
    "pfs": "pfs_v2",
    "pjs": "pjs",
    "pps": "pps_v2",
    "snapshot": "snapshot",
    "storage": "storage",
    "taskapi": "taskapi",
    "transaction": "transaction_v2",
    "version": "versionpb_v2",
    "worker": "pachyderm.worker",
}

# Enums that stand inside a message; flattened, their values would collide in the package.
NESTED_ENUMS = {
    "debug_v2.SetLogLevelRequestLogLevel": ("SetLogLevelRequest", "LogLevel"),
    "enterprise_v2.PauseStatusResponsePauseStatus": ("PauseStatusResponse", "PauseStatus"),
    "pfs_v2.GetFileSetRequestFileSetType": ("GetFileSetRequest", "FileSetType"),
    "pfs_v2.SqlDatabaseEgressFileFormatType": ("SqlDatabaseEgressFileFormat", "Type"),
    "pps_v2.PipelineInfoPipelineType": ("PipelineInfo", "PipelineType"),
}

# Fields whose JSON name is not the lowerCamelCase of the SDK's name.
JSON_NAMES = {
    "pfs_v2.AddFileUrlSource.url": "URL",
    "pfs_v2.GetFileRequest.url": "URL",
    "pps_v2.Egress.url": "URL",
}

WRAPPERS = {
    "bool": "BoolValue",
    "bytes": "BytesValue",
    "double": "DoubleValue",
    "float": "FloatValue",
    "int32": "Int32Value",
    "int64": "Int64Value",
    "string": "StringValue",
    "uint32": "UInt32Value",
    "uint64": "UInt64Value",
}
WELL_KNOWN_FILES = {
    "Any": "any",
    "Duration": "duration",
    "Empty": "empty",
    "Struct": "struct",
    "Timestamp": "timestamp",
    **{name: "wrappers" for name in WRAPPERS.values()},
}

FieldProto = pb.FieldDescriptorProto


def full_name(cls: type) -> str:
    """The protobuf name, without a leading dot, that one of the SDK's classes stands for."""
    if cls.__module__.startswith("betterproto.lib"):
        return f"google.protobuf.{cls.__name__}"
    package = PACKAGES[cls.__module__.rsplit(".", 1)[1]]
    flat = f"{package}.{cls.__name__}"
    if flat in NESTED_ENUMS:
        return ".".join((package, *NESTED_ENUMS[flat]))
    return flat


def camel(name: str) -> str:
    """lowerCamelCase as protoc derives a JSON name from a field's name."""
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


class Builder:
    """Builds one package's file descriptor."""

    def __init__(self, module: ModuleType, package: str) -> None:
        self.module = module
        self.package = package
        self.file = pb.FileDescriptorProto(
            name=f"pachyderm/{package}.proto", package=package, syntax="proto3"
        )
        self.needs: set[str] = set()

    def build(self) -> pb.FileDescriptorProto:
        """The whole file: enums, messages and services in the SDK's order."""
        own = [c for c in vars(self.module).values() if self._is_own(c)]
        for cls in own:
            if issubclass(cls, betterproto.Message):
                self._message(cls)
        for cls in own:
            if issubclass(cls, betterproto.Enum):
                self._enum(cls)
        self._services()
        self.file.dependency.extend(sorted(self.needs - {self.file.name}))
        return self.file

    def _is_own(self, thing: Any) -> bool:
        return inspect.isclass(thing) and thing.__module__ == self.module.__name__

    def _reference(self, cls: type) -> str:
        name = full_name(cls)
        if name.startswith("google.protobuf."):
            short = name.rsplit(".", 1)[1]
            self.needs.add(f"google/protobuf/{WELL_KNOWN_FILES[short]}.proto")
        else:
            package = PACKAGES[cls.__module__.rsplit(".", 1)[1]]
            self.needs.add(f"pachyderm/{package}.proto")
        return "." + name

    def _well_known(self, short: str) -> str:
        self.needs.add(f"google/protobuf/{WELL_KNOWN_FILES[short]}.proto")
        return f".google.protobuf.{short}"

    def _enum(self, cls: Any) -> None:
        flat = f"{self.package}.{cls.__name__}"
        if flat in NESTED_ENUMS:
            owner, name = NESTED_ENUMS[flat]
            enum = next(m for m in self.file.message_type if m.name == owner).enum_type.add()
        else:
            name, enum = cls.__name__, self.file.enum_type.add()
        enum.name = name
        numbers = set()
        for value_name, value in cls.__members__.items():
            enum.value.add(name=value_name, number=int(value))
            if int(value) in numbers:
                enum.options.allow_alias = True
            numbers.add(int(value))

    def _message(self, cls: Any) -> None:
        message = self.file.message_type.add(name=cls.__name__)
        oneofs: dict[str, int] = {}
        hints = typing.get_type_hints(cls, vars(self.module))
        for field in dataclasses.fields(cls):
            meta = field.metadata["betterproto"]
            # ``from_`` and ``continue_`` stand in for words Python reserves.
            name = field.name.rstrip("_")
            out = message.field.add(name=name, number=meta.number)
            out.json_name = JSON_NAMES.get(f"{full_name(cls)}.{name}", camel(name))
            if meta.group:
                if meta.group not in oneofs:
                    oneofs[meta.group] = len(message.oneof_decl)
                    message.oneof_decl.add(name=meta.group)
                out.oneof_index = oneofs[meta.group]
            hint = hints[field.name]
            repeated = typing.get_origin(hint) is list
            out.label = FieldProto.LABEL_REPEATED if repeated else FieldProto.LABEL_OPTIONAL
            if meta.proto_type == "map":
                self._map_entry(message, out, meta, hint)
            else:
                self._type(out, meta.proto_type, hint, meta.wraps)

    def _map_entry(self, message: Any, out: Any, meta: Any, hint: Any) -> None:
        entry = message.nested_type.add(name=camel("_" + out.name) + "Entry")
        entry.options.map_entry = True
        for number, (name, kind, arg) in enumerate(
            zip(("key", "value"), meta.map_types, typing.get_args(hint), strict=True), 1
        ):
            part = entry.field.add(name=name, number=number, json_name=name)
            part.label = FieldProto.LABEL_OPTIONAL
            self._type(part, kind, arg, None)
        out.label = FieldProto.LABEL_REPEATED
        out.type = FieldProto.TYPE_MESSAGE
        out.type_name = f".{self.package}.{message.name}.{entry.name}"

    def _type(self, out: Any, kind: str, hint: Any, wraps: str | None) -> None:
        out.type = FieldProto.Type.Value(f"TYPE_{kind.upper()}")
        args = [a for a in typing.get_args(hint) if a is not type(None)]
        inner = args[0] if args else hint
        if wraps:
            out.type_name = self._well_known(WRAPPERS[wraps])
        elif kind in ("message", "enum"):
            if inner is datetime:
                out.type_name = self._well_known("Timestamp")
            elif inner is timedelta:
                out.type_name = self._well_known("Duration")
            else:
                out.type_name = self._reference(inner)

    def _services(self) -> None:
        tree = ast.parse(inspect.getsource(self.module))
        for call in (n for n in ast.walk(tree) if isinstance(n, ast.Call)):
            if not isinstance(call.func, ast.Attribute) or not call.keywords:
                continue
            words = call.func.attr.split("_")
            if len(words) != 2 or not set(words) <= {"unary", "stream"}:
                continue
            path = ast.literal_eval(call.args[0])
            service_name, method_name = path.strip("/").split("/")
            keywords = {k.arg: k.value for k in call.keywords}
            method = self._service(service_name).method.add(name=method_name)
            method.input_type = self._named(keywords["request_serializer"])
            method.output_type = self._named(keywords["response_deserializer"])
            method.client_streaming = words[0] == "stream"
            method.server_streaming = words[1] == "stream"

    def _service(self, full: str) -> Any:
        package, name = full.rsplit(".", 1)
        if package != self.package:
            raise SystemExit(f"service {full} in the module of {self.package}")
        for service in self.file.service:
            if service.name == name:
                return service
        return self.file.service.add(name=name)

    def _named(self, node: ast.AST) -> str:
        """The class ``X`` of an expression ``X.SerializeToString``."""
        assert isinstance(node, ast.Attribute)
        cls = eval(ast.unparse(node.value), vars(self.module))
        return self._reference(cls)


def rebuild() -> pb.FileDescriptorSet:
    """Pachyderm's definitions as the installed SDK knows them, dependencies first."""
    files: dict[str, pb.FileDescriptorProto] = {}
    for name, package in PACKAGES.items():
        module = importlib.import_module(f"pachyderm_sdk.api.{name}")
        built = Builder(module, package).build()
        files[built.name] = built
    ordered: dict[str, pb.FileDescriptorProto] = {}

    def add(name: str) -> None:
        if name in files and name not in ordered:
            for needed in files[name].dependency:
                add(needed)
            ordered[name] = files[name]

    for name in sorted(files):
        add(name)
    return pb.FileDescriptorSet(file=ordered.values())


def main() -> None:
    """Write the set where the package finds it."""
    data = rebuild().SerializeToString(deterministic=True)
    TARGET.write_bytes(gzip.compress(data, 9, mtime=0))
    print(f"{TARGET}: {len(data)} bytes, {TARGET.stat().st_size} compressed")


if __name__ == "__main__":
    main()
