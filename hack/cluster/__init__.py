"""A real Kubernetes on this machine: with kind, a host node, a process node, or the control plane alone."""
