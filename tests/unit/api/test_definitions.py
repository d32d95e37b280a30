"""The definitions are Pachyderm's, to the byte, and ours beside them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pachybox.api import definitions, v1
from pachybox.api.definitions import pfs, pps
from pachybox.api.table import Call, Cancel, Kind, Table, collect, handles
from pachybox.errors import NotFound, Unimplemented
from tests.unit.api.rebuild_definitions import rebuild


def test_the_stored_set_is_what_the_sdk_says() -> None:
    assert definitions.stored() == rebuild()


def test_a_message_of_the_sdk_and_ours_have_the_same_wire_form() -> None:
    from pachyderm_sdk.api import pfs as sdk

    theirs = sdk.CommitInfo(
        commit=sdk.Commit(repo=sdk.Repo(name="images", type="user"), id="c0ffee"),
        origin=sdk.CommitOrigin(kind=sdk.OriginKind.AUTO),
        metadata={"k": "v"},
        size_bytes_upper_bound=7,
    )
    ours = pfs.CommitInfo.FromString(bytes(theirs))
    assert ours.commit.repo.name == "images"
    assert pfs.OriginKind.Name(ours.origin.kind) == "AUTO"
    assert dict(ours.metadata) == {"k": "v"}
    assert sdk.CommitInfo().parse(ours.SerializeToString()) == theirs


def test_the_table_has_every_method_of_both_services() -> None:
    table = Table()
    methods = {m.full_name: m for m in table}
    assert len(methods) == 197 + len(v1.METHODS.strip().splitlines())
    kinds = {name: methods[f"pfs_v2.API/{name}"].kind for name in ("InspectRepo", "ListRepo")}
    assert kinds == {"InspectRepo": Kind.UNARY, "ListRepo": Kind.SERVER}
    assert methods["pfs_v2.API/ModifyFile"].kind is Kind.CLIENT
    assert methods["pps_v2.API/CreateDatum"].kind is Kind.BOTH
    assert methods["pfs_v2.API/InspectRepo"].request_class is pfs.InspectRepoRequest


def test_fields_keep_pachyderms_json_names() -> None:
    names = {f.name: f.json_name for f in pps.Egress.DESCRIPTOR.fields}
    assert names["url"] == "URL"
    paging = pfs.ListFileRequest.DESCRIPTOR.fields_by_name["pagination_marker"]
    assert paging.json_name == "paginationMarker"


def test_a_package_has_only_what_is_defined() -> None:
    assert pfs.FileType.Value("DIR") == 2
    with pytest.raises(AttributeError, match=r"pfs_v2\.Nothing"):
        _ = pfs.Nothing


def test_loading_does_not_import_the_sdk() -> None:
    code = (
        "import sys; from pachybox.api.definitions import pfs; pfs.RepoInfo;"
        "sys.exit(any(m in sys.modules for m in ('pachyderm_sdk', 'betterproto', 'grpc')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_method_names_the_nearest_one() -> None:
    with pytest.raises(NotFound) as caught:
        Table().find("pfs_v2.API/InspctRepo")
    assert caught.value.hint == "did you mean pfs_v2.API/InspectRepo"


def test_a_method_without_handler_is_unimplemented_by_name() -> None:
    table = Table()
    with pytest.raises(Unimplemented, match=r"pfs_v2\.API/Egress is not built in this version"):
        table.find("pfs_v2.API/Egress").invoke(None, Call(""))
    with pytest.raises(Unimplemented, match="the auth service is not activated"):
        table.find("auth_v2.API/WhoAmI").invoke(None, Call(""))


class One:
    @handles("pfs_v2.API/InspectRepo")
    @handles("pfs_v2.API/InspectBranch")
    def inspect(self, request: object, call: Call) -> object:
        return request


def test_handlers_are_collected_bound() -> None:
    found = collect(None, One())
    assert found.keys() == {"pfs_v2.API/InspectRepo", "pfs_v2.API/InspectBranch"}
    assert found["pfs_v2.API/InspectRepo"](7, Call("")) == 7


def test_two_handlers_of_one_method_are_refused() -> None:
    with pytest.raises(ValueError, match="two handlers of"):
        collect(None, One(), One())


def test_a_handler_of_no_method_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pfs_v2\.API/Nothing"):
        Table({"pfs_v2.API/Nothing": lambda request, call: None})


def test_cancelling_runs_call_backs_once_even_late_ones() -> None:
    seen: list[str] = []
    cancel = Cancel()
    cancel.on_set(lambda: seen.append("early"))
    cancel.set()
    cancel.set()
    cancel.on_set(lambda: seen.append("late"))
    assert seen == ["early", "late"]
