"""A Kubernetes node without privilege: one real Node object whose pods run as local processes.

It does what a kubelet does, as far as jobs and small services need it. What it cannot do: isolate (pods have no file
system, network, user or memory limit of their own, so nothing is killed for memory), `kubectl exec`, Service addresses,
lifecycle hooks, sidecar init containers.
"""
