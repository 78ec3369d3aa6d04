"""A real Kubernetes on this machine, of a kind it can run: kind, a host node, a process node, a control plane alone."""
