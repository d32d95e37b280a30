"""What belongs to a cluster with an enterprise licence: users, licences, identity providers.

A box has none of it. It answers as a cluster does on which none was activated, so that clients
which ask first go on. With a token in box.toml, whoever shows it is the one user there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pachybox.api import definitions
from pachybox.api.definitions import auth, enterprise, license_
from pachybox.api.table import Call, handles
from pachybox.box import Box
from pachybox.errors import Refused, Unimplemented

ROOT = "pach:root"
"""The name of whoever shows the box's token: Pachyderm's administrator."""

_OFF = "the auth service is not activated"  # clients match this text
_ROLES = ("clusterAdmin",)


def _each(service: str, *methods: str) -> Callable[[Any], Any]:
    """Mark one function as the handler of several methods."""

    def mark(function: Any) -> Any:
        for method in methods:
            function = handles(f"{service}/{method}")(function)
        return function

    return mark


# ---- auth


def _activated(box: Box) -> None:
    if not box.config.token:
        raise Unimplemented(_OFF)


@handles("auth_v2.API/WhoAmI")
def who_am_i(box: Box, request: Any, call: Call) -> Any:
    _activated(box)
    return auth.WhoAmIResponse(username=ROOT)


@handles("auth_v2.API/Authorize")
def authorize(box: Box, request: Any, call: Call) -> Any:
    _activated(box)
    return auth.AuthorizeResponse(
        authorized=True, satisfied=list(request.permissions), principal=ROOT
    )


@_each("auth_v2.API", "GetPermissions", "GetPermissionsForPrincipal")
def get_permissions(box: Box, request: Any, call: Call) -> Any:
    _activated(box)
    if getattr(request, "principal", ROOT) not in ("", ROOT):
        return auth.GetPermissionsResponse()
    values = auth.Permission.values()
    return auth.GetPermissionsResponse(permissions=[v for v in values if v], roles=_ROLES)


@handles("auth_v2.API/GetRoleBinding")
def get_role_binding(box: Box, request: Any, call: Call) -> Any:
    _activated(box)
    made = auth.GetRoleBindingResponse()
    for role in _ROLES:
        made.binding.entries[ROOT].roles[role] = True
    return made


@_each("auth_v2.API", "GetGroups", "GetGroupsForPrincipal")
def get_groups(box: Box, request: Any, call: Call) -> Any:
    _activated(box)
    return auth.GetGroupsResponse()


@handles("auth_v2.API/Activate")
def activate(box: Box, request: Any, call: Call) -> Any:
    if box.config.token:
        raise Unimplemented("the auth service is already activated")
    raise Unimplemented(_OFF, "set a token in box.toml: whoever shows it may do everything")


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
        f"{call.method} is not built: a box has no users beside {ROOT}",
        "whoever shows the token of box.toml may do everything; change it there",
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
