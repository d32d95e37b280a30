"""What belongs to a cluster with an enterprise licence: users, licences, identity providers.

A box has none of it. It answers as a cluster does on which none was activated, so that clients
which ask first go on. Where tokens are wanted, whoever shows one is told who that is and what they
may.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pachybox.api import definitions
from pachybox.api.access.principal import Principal, Role
from pachybox.api.definitions import auth, enterprise, license_
from pachybox.api.handlers import messages as m
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import Refused, Unimplemented
from pachybox.model.ids import DEFAULT_PROJECT

ROOT = "pach:root"
"""Pachyderm's administrator: whoever may do everything."""

_OFF = "the auth service is not activated"  # clients match this text
_READER = ("READ", "INSPECT_COMMIT", "LIST_COMMIT", "LIST_BRANCH", "LIST_FILE", "INSPECT_FILE")
_WRITER = ("WRITE", "DELETE_COMMIT", "CREATE_BRANCH", "DELETE_BRANCH")
_ROLES = {Role.READER: "repoReader", Role.WRITER: "repoWriter", Role.ADMIN: "repoOwner"}


def _each(service: str, *methods: str) -> Callable[[Any], Any]:
    """Mark one function as the handler of several methods."""

    def mark(function: Any) -> Any:
        for method in methods:
            function = handles(f"{service}/{method}")(function)
        return function

    return mark


# ---- auth


def _activated(box: Box) -> None:
    if not box.closed():
        raise Unimplemented(_OFF)


def _name(caller: Principal) -> str:
    return ROOT if caller.is_admin else f"robot:{caller.name}"


def _may(caller: Principal, resource: Any, permission: str) -> bool:
    """Whether ``caller`` has one of Pachyderm's permissions on a resource: those of repos."""
    if caller.is_admin:
        return True
    kind, _, what = permission.partition("_")
    if kind != "REPO" or auth.ResourceType.Name(resource.type) != "REPO":
        return False
    project, _, name = resource.name.rpartition("/")
    if caller.repos is not None and (project or DEFAULT_PROJECT, name) not in caller.repos:
        return False
    role = Role.READER if what in _READER else Role.WRITER if what in _WRITER else Role.ADMIN
    return caller.role >= role


@handles("auth_v2.API/WhoAmI")
def who_am_i(box: Box, request: Any, call: Call) -> Any:
    _activated(box)
    made = auth.WhoAmIResponse(username=_name(call.principal))
    if call.principal.grant is not None and call.principal.grant.expires:
        made.expiration.FromSeconds(int(call.principal.grant.expires))
    return made


@handles("auth_v2.API/Authorize")
def authorize(box: Box, request: Any, call: Call) -> Any:
    _activated(box)
    caller, wanted = call.principal, list(request.permissions)
    have = [p for p in wanted if _may(caller, request.resource, m.enum_name(auth.Permission, p))]
    return auth.AuthorizeResponse(
        authorized=len(have) == len(wanted),
        satisfied=have,
        missing=[p for p in wanted if p not in have],
        principal=_name(caller),
    )


@_each("auth_v2.API", "GetPermissions", "GetPermissionsForPrincipal")
def get_permissions(box: Box, request: Any, call: Call) -> Any:
    _activated(box)
    caller = call.principal
    if getattr(request, "principal", "") not in ("", _name(caller)):
        return auth.GetPermissionsResponse()
    have = [
        number
        for name, number in auth.Permission.items()
        if number and _may(caller, request.resource, name)
    ]
    roles = ["clusterAdmin"] if caller.is_admin else [_ROLES[caller.role]] if have else []
    return auth.GetPermissionsResponse(permissions=have, roles=roles)


@handles("auth_v2.API/GetRoleBinding")
def get_role_binding(box: Box, request: Any, call: Call) -> Any:
    _activated(box)
    made = auth.GetRoleBindingResponse()
    made.binding.entries[ROOT].roles["clusterAdmin"] = True
    return made


@_each("auth_v2.API", "GetGroups", "GetGroupsForPrincipal")
def get_groups(box: Box, request: Any, call: Call) -> Any:
    _activated(box)
    return auth.GetGroupsResponse()


@handles("auth_v2.API/Activate")
def activate(box: Box, request: Any, call: Call) -> Any:
    if box.closed():
        raise Unimplemented("the auth service is already activated")
    raise Unimplemented(_OFF, "make a token: pachybox create token NAME --role admin")


_NO_USERS = (
    *("Deactivate", "GetConfiguration", "SetConfiguration", "Authenticate"),
    *("GetRolesForPermission", "ModifyRoleBinding", "GetOIDCLogin", "GetRobotToken"),
    *("RevokeAuthToken", "RevokeAuthTokensForUser", "SetGroupsForUser", "ModifyMembers"),
    *("GetUsers", "ExtractAuthTokens", "RestoreAuthToken", "DeleteExpiredAuthTokens"),
    "RotateRootToken",
)


@_each("auth_v2.API", *_NO_USERS)
def no_users(box: Box, request: Any, call: Call) -> Any:
    _activated(box)
    raise Unimplemented(
        f"{call.method} is not built: a box has tokens, not users",
        "see what there is: pachybox list token",
    )


@handles("pfs_v2.API/ActivateAuth")
def activate_auth(box: Box, request: Any, call: Call) -> Any:
    raise Unimplemented(_OFF)


# ---- enterprise


@handles("enterprise_v2.API/GetState")
def get_state(box: Box, request: Any, call: Call) -> Any:
    return enterprise.GetStateResponse(state=enterprise.State.Value("NONE"))


@handles("enterprise_v2.API/GetActivationCode")
def get_activation_code(box: Box, request: Any, call: Call) -> Any:
    return enterprise.GetActivationCodeResponse(state=enterprise.State.Value("NONE"))


@_each("enterprise_v2.API", "Deactivate", "Heartbeat", "PauseStatus", "Unpause")
@_each("license_v2.API", "DeleteAll", "ListClusters", "ListUserClusters")
def nothing(box: Box, request: Any, call: Call) -> Any:
    """The method's response with nothing in it."""
    service, _, name = call.method.partition("/")
    method = definitions.service(service).methods_by_name[name]
    return definitions.message_class(method.output_type)()


@_each("enterprise_v2.API", "Activate", "Pause")
def no_enterprise(box: Box, request: Any, call: Call) -> Any:
    raise Unimplemented(
        f"{call.method} is not built: a box needs no enterprise licence",
        "stop pipelines by name to pause them" if call.method.endswith("Pause") else "leave it out",
    )


# ---- licences


@handles("license_v2.API/GetActivationCode")
def get_license(box: Box, request: Any, call: Call) -> Any:
    return license_.GetActivationCodeResponse(state=enterprise.State.Value("NONE"))


@_each("license_v2.API", "Activate", "AddCluster", "DeleteCluster", "UpdateCluster", "Heartbeat")
def no_license(box: Box, request: Any, call: Call) -> Any:
    raise Unimplemented(f"{call.method} is not built: a box needs no licence", "leave it out")


# ---- identity


_IDENTITY = (
    *("SetIdentityServerConfig", "GetIdentityServerConfig", "CreateIDPConnector"),
    *("UpdateIDPConnector", "ListIDPConnectors", "GetIDPConnector", "DeleteIDPConnector"),
    *("CreateOIDCClient", "UpdateOIDCClient", "GetOIDCClient", "ListOIDCClients"),
    *("DeleteOIDCClient", "DeleteAll"),
)


@_each("identity_v2.API", *_IDENTITY)
def no_identity(box: Box, request: Any, call: Call) -> Any:
    _activated(box)
    raise Refused(
        f"{call.method}: a box has no identity providers",
        "whoever shows the token of box.toml may do everything",
    )
