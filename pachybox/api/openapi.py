"""``/openapi.json``: an OpenAPI 3.1 description generated from the table of methods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pachybox.api.samples import sample
from pachybox.api.table import Kind, Method, Table
from pachybox.client.archive import address

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

Schema = dict[str, Any]

_INTEGER_TEXT: Schema = {
    "type": ["string", "integer"],
    "format": "int64",
    "description": "a 64-bit integer; answered as text",
}
_NUMBER: Schema = {
    "anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}],
}
_SCALARS: dict[str, Schema] = {
    "DOUBLE": _NUMBER,
    "FLOAT": _NUMBER,
    "INT64": _INTEGER_TEXT,
    "UINT64": _INTEGER_TEXT,
    "INT32": {"type": "integer", "format": "int32"},
    "UINT32": {"type": "integer", "minimum": 0},
    "BOOL": {"type": "boolean"},
    "STRING": {"type": "string"},
    "BYTES": {"type": "string", "contentEncoding": "base64"},
}
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Any": {"type": "object", "properties": {"@type": {"type": "string"}}},
    "google.protobuf.BoolValue": {"type": "boolean"},
    "google.protobuf.BytesValue": _SCALARS["BYTES"],
    "google.protobuf.DoubleValue": _NUMBER,
    "google.protobuf.Duration": {"type": "string", "description": 'seconds, as in "1.5s"'},
    "google.protobuf.Empty": {"type": "object"},
    "google.protobuf.FloatValue": _NUMBER,
    "google.protobuf.Int32Value": _SCALARS["INT32"],
    "google.protobuf.Int64Value": _INTEGER_TEXT,
    "google.protobuf.StringValue": {"type": "string"},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.UInt32Value": _SCALARS["UINT32"],
    "google.protobuf.UInt64Value": _INTEGER_TEXT,
}
_ERROR: Schema = {
    "type": "object",
    "required": ["code", "message", "details"],
    "properties": {
        "code": {"type": "integer", "description": "the number of google.rpc.Code"},
        "message": {"type": "string"},
        "details": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "@type": {"type": "string", "description": "google.rpc.ErrorInfo"},
                    "reason": {"type": "string"},
                    "domain": {"type": "string"},
                    "metadata": {"type": "object", "properties": {"hint": {"type": "string"}}},
                },
            },
        },
    },
}
_ERROR_ANSWER = {"$ref": "#/components/responses/Error"}
_TEXT: Schema = {"text/plain": {"schema": {"type": "string"}}}
_BYTES: Schema = {"application/octet-stream": {"schema": {}}}
_ZIP: Schema = {"application/zip": {"schema": {}}}
_JSON: Schema = {"application/json": {"schema": {"type": "object"}}}
_FRAMES: Schema = {"application/x-pachybox-frames": {"schema": {}}}


def document(table: Table, version: str) -> dict[str, Any]:
    """The description of every method of ``table`` and of the paths beside it."""
    schemas: dict[str, Schema] = {"Error": _ERROR}
    paths: dict[str, Any] = {}
    for method in table:
        paths[f"/api/{method.full_name}"] = {"post": _operation(method, schemas)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pachybox",
            "version": version,
            "summary": "Versioned data and pipelines on one machine, over Pachyderm's own API",
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": paths | _plain_paths(),
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "responses": {
                "Error": {
                    "description": "An error, by its HTTP status and its code",
                    "content": {"application/json": {"schema": _ref("Error")}},
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "tags": [{"name": name} for name in sorted({m.service for m in table})],
    }


def _operation(method: Method, schemas: dict[str, Schema]) -> dict[str, Any]:
    request = _message(method.descriptor.input_type, schemas)
    answer = _message(method.descriptor.output_type, schemas)
    request_type = answer_type = "application/json"
    said = [_KINDS[method.kind]]
    if method.kind.server_streams:
        answer = {"type": "object", "properties": {"result": answer, "error": _ref("Error")}}
    if method.handler is None:
        said.append("Not built in this version: answers 501.")
    return {
        "operationId": method.full_name.replace("/", "."),
        "tags": [method.service],
        "summary": method.name,
        "description": " ".join(said),
        "x-pachybox-built": method.handler is not None,
        "x-pachybox-sample": sample(method),
        "requestBody": {"content": {request_type: {"schema": request}}},
        "responses": {
            "200": {"description": "Done", "content": {answer_type: {"schema": answer}}},
            "default": _ERROR_ANSWER,
        },
    }


_KINDS = {
    Kind.UNARY: "One JSON object in, one out.",
    Kind.SERVER: "One JSON object in, one object a line out.",
    Kind.CLIENT: "One JSON object a line in, one object out.",
    Kind.BOTH: "One JSON object a line in and out.",
}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _message(descriptor: Descriptor, schemas: dict[str, Schema]) -> Schema:
    name = descriptor.full_name
    if name in _WELL_KNOWN:
        return _WELL_KNOWN[name]
    if name not in schemas:
        properties: dict[str, Schema] = {}
        schemas[name] = {
            "type": "object",
            "properties": properties,
            "additionalProperties": False,
        }
        for field in descriptor.fields:
            properties[field.json_name] = _field(field, schemas)
    return _ref(name)


def _field(field: FieldDescriptor, schemas: dict[str, Schema]) -> Schema:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        value = field.message_type.fields_by_name["value"]
        return {"type": "object", "additionalProperties": _single(value, schemas)}
    single = _single(field, schemas)
    return {"type": "array", "items": single} if field.is_repeated else single


def _single(field: FieldDescriptor, schemas: dict[str, Schema]) -> Schema:
    if field.message_type is not None:
        return _message(field.message_type, schemas)
    if field.enum_type is not None:
        return _enum(field.enum_type, schemas)
    return _SCALARS[_TYPE_NAMES[field.type]]


def _enum(descriptor: EnumDescriptor, schemas: dict[str, Schema]) -> Schema:
    schemas[descriptor.full_name] = {"type": "string", "enum": [v.name for v in descriptor.values]}
    return _ref(descriptor.full_name)


_TYPE_NAMES = {
    1: "DOUBLE",
    2: "FLOAT",
    3: "INT64",
    4: "UINT64",
    5: "INT32",
    8: "BOOL",
    9: "STRING",
    12: "BYTES",
    13: "UINT32",
}


def _plain_paths() -> dict[str, Any]:
    names = ("project", "repo", "ref")
    commit = [_query(name, required=name != "project") for name in names]
    in_path = [_in_path(name) for name in (*names, "path")]
    get_options = [_query(name) for name in ("path", "glob", "joined", "fds", "offset")]
    return {
        "/healthz": {"get": _plain("Whether the box serves: 200, or 503 and why not", _TEXT)},
        "/readyz": {"get": _plain("Whether it would take a write: 200, or 503 and why", _TEXT)},
        "/metrics": {"get": _plain("Figures in Prometheus' text form", _TEXT)},
        "/files/put": {
            "post": _plain(
                "Upload many files as one commit, in frames",
                {"application/json": {"schema": {"type": "object"}}},
                [*commit, _query("description")],
            )
            | {"requestBody": {"required": True, "content": _FRAMES}}
        },
        "/files/get": {
            "get": _plain("Download many files, in frames", _FRAMES, [*commit, *get_options])
        },
        "/pfs/{project}/{repo}/{ref}/{path}": {
            "get": _plain("One file, whole or a range of it, or a directory", _BYTES, in_path)
            | {"x-pachybox-path": "/pfs/default/images/master/a.txt"}
        },
        "/archive/{files}.zip": {
            "get": _plain("Files and directories as a zip", _ZIP, [_in_path("files")])
            | {"x-pachybox-path": address(["default/images@master:/"])}
        },
        "/jsonschema/{package}/{message}.schema.json": {
            "get": _plain(
                "The JSON schema of a message", _JSON, [_in_path("package"), _in_path("message")]
            )
            | {"x-pachybox-path": "/jsonschema/pps_v2/CreatePipelineRequest.schema.json"}
        },
    }


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query(name: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": {"type": "string"}}


def _plain(summary: str, content: dict[str, Any], parameters: Iterable[Any] = ()) -> dict[str, Any]:
    return {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {
            "200": {"description": "Done", "content": content},
            "default": _ERROR_ANSWER,
        },
    }
