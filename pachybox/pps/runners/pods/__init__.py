"""The runner of Pods: workers in containers that a cluster starts on this machine."""
