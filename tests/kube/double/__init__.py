"""A double of the Kubernetes API for tests, whose Pods really run: by podman, on this machine.

    client --TLS--> server -> rights, faults -> api -> store (objects, versions, history)
                                                         | every change
                          controllers (scheduler, garbage, namespaces), kubelets -> podman

It has no exec, no probes and no admission hooks, and one container runtime: podman's. By hand::

    python -m tests.kube.double --kubeconfig /tmp/kubeconfig
"""

from tests.kube.double.answers import ApiError as ApiError
from tests.kube.double.answers import Object as Object
from tests.kube.double.cluster import NODE as NODE
from tests.kube.double.cluster import Cluster as Cluster
from tests.kube.double.faults import Faults as Faults
from tests.kube.double.server import Request as Request
