"""The runner of Pods: a container of a cluster that holds, and a worker of the box within it.

    api (calls, again where that helps) <- watch (what Pods there are) <- runner <- box
    manifest (objects, by placing's words), states (what a Pod says): pure

See docs/decisions/0048-the-runner-enters-pods.md.
"""
