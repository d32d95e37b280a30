"""Egress: a job's output copied to where others read it, after its commit is finished."""
