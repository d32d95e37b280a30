"""The unit of systemd that runs k3s."""

from __future__ import annotations

from pathlib import Path

from k3s.places import PROGRAM
from pachybox.systemd import quoted


def render(data: Path) -> str:
    """The whole unit of a k3s with its data in ``data``."""
    return f"""\
# Written by pachybox k3s install. Changes of yours: systemctl edit k3s
[Unit]
Description=k3s, Kubernetes on this machine
Wants=network-online.target
After=network-online.target
# On a disk that is not mounted yet k3s would find no cluster, and make a new one.
RequiresMountsFor={quoted(data)}

[Service]
# Ready once the API answers. A first start unpacks and imports images, for which there is no bound.
Type=notify
TimeoutStartSec=0
# Proxies and the like.
EnvironmentFile=-/etc/default/k3s
EnvironmentFile=-/etc/sysconfig/k3s
ExecStartPre=-/sbin/modprobe -a br_netfilter overlay
ExecStart={PROGRAM} server
Restart=always
RestartSec=5
# Only k3s itself ends with the service: Pods go on while it is started anew, or upgraded.
KillMode=process
# The control groups below are the kubelet's, and what Pods take is bounded there.
Delegate=yes
TasksMax=infinity
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity

[Install]
WantedBy=multi-user.target
"""
