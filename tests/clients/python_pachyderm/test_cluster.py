"""What python-pachyderm asks of a cluster: its version, health, licence, users, and dumps."""

from __future__ import annotations

import io
import json
import tarfile

import pytest
import python_pachyderm
from google.protobuf import duration_pb2
from python_pachyderm.errors import AuthServiceNotActivated
from python_pachyderm.proto.v2.debug import debug_pb2
from python_pachyderm.proto.v2.enterprise import enterprise_pb2

Client = python_pachyderm.Client


def test_version_health_and_cluster(client: Client) -> None:
    assert client.get_remote_version().major == 2
    assert client.health_check().status == 1
    info = client.inspect_cluster()
    assert info.id
    assert info.deployment_id == info.id


def test_a_configuration_of_the_cluster(client: Client) -> None:
    context = {"pachd_address": f"grpc://{client.address}"}
    document = {"v2": {"active_context": "box", "contexts": {"box": context}}}

    def opened() -> Client:
        return Client.new_from_config(config_file=io.StringIO(json.dumps(document)))

    context["cluster_deployment_id"] = client.inspect_cluster().deployment_id
    assert opened().get_remote_version().major == 2
    context["cluster_deployment_id"] = "another"
    with pytest.raises(python_pachyderm.BadClusterDeploymentID):
        opened()


def test_there_are_no_users_and_no_licence(client: Client) -> None:
    with pytest.raises(AuthServiceNotActivated):
        client.delete_all_identity()
    with pytest.raises(AuthServiceNotActivated):
        client.deactivate_auth()
    with pytest.raises(python_pachyderm.RpcError, match="the auth service is not activated"):
        client.who_am_i()
    client.delete_all_license()
    assert client.get_enterprise_state().state == enterprise_pb2.State.NONE
    assert list(client.list_clusters()) == []


def test_dumps_profiles_and_the_program(client: Client) -> None:
    chunks = [c.content.content for c in client.dump() if c.HasField("content")]
    assert "pachd/version.json" in names(chunks)
    second = duration_pb2.Duration(nanos=200_000_000)
    assert names(list(client.profile_cpu(second))) == ["pachd/cpu.folded"]
    assert "pachd/pachybox/daemon.py" in names(list(client.binary()))
    level = debug_pb2.SetLogLevelRequest.LogLevel.INFO
    # the client sets both, of which the message takes the last
    answer = client.set_log_level(pachyderm_level=level, grpc_level=level, duration=second)
    assert list(answer.affected_pods) == ["pachybox"]


def names(pieces: list[bytes]) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces)), mode="r:gz") as tar:
        return tar.getnames()
