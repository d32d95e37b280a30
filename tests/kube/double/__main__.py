"""A double by hand, until ctrl-c."""

from __future__ import annotations

import argparse
import signal
import tempfile
from contextlib import closing
from pathlib import Path

from pachybox.containers.engine import Engine
from tests.kube.double.cluster import Cluster


def main() -> None:
    """Run a cluster and say how to use it."""
    parser = argparse.ArgumentParser(prog="python -m tests.kube.double", description=__doc__)
    parser.add_argument("--namespace", default="pachybox", help="made at the start (pachybox)")
    parser.add_argument("--kubeconfig", type=Path, help="where to write one, of all rights")
    parser.add_argument("--rbac", type=Path, help="YAML of Roles that a second token is held to")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="pachybox-double-") as folder:
        path = args.kubeconfig or Path(folder, "kubeconfig")
        with (
            closing(Engine(Path(folder, "run"))) as engine,
            Cluster(engine, Path(folder, "cluster"), [args.namespace], args.rbac) as cluster,
        ):
            cluster.kubeconfig(path, token=cluster.admin_token)
            print(f"Kubernetes {cluster.api.version} at {cluster.url}, until ctrl-c. Use it by:\n")
            print(f"  KUBECONFIG={path} kubectl get pods --watch")
            print(f"  PACHYBOX_RUNNER=kubernetes KUBECONFIG={path} pachybox up")
            if args.rbac:
                held = path.with_name(f"{path.name}.rbac")
                cluster.kubeconfig(held)
                print(f"\nHeld to {args.rbac}: KUBECONFIG={held}")
            try:
                signal.pause()
            except KeyboardInterrupt:
                print("\nends: its containers are removed")


if __name__ == "__main__":
    main()
