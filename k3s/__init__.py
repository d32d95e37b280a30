"""k3s beside the box: what is applied to a cluster, and how k3s itself comes onto a machine that
has no network.
"""
