"""The cluster that the tests of this folder share."""

from tests.kube.cluster import cluster_fixture as cluster_fixture
from tests.kube.cluster import session_cluster as session_cluster
