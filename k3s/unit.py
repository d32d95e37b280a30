"""The unit of systemd that runs k3s."""

from __future__ import annotations

from k3s.places import PROGRAM


def render() -> str:
    """The whole unit."""
    return f"""\
# Written by pachybox k3s install. Changes of yours: systemctl edit k3s
[Unit]
Description=k3s, Kubernetes on this machine
Wants=network-online.target
After=network-online.target

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
