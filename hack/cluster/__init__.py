"""A real Kubernetes on this machine, whichever kind it can run: kind, a host node, a process node, or a control plane alone."""
