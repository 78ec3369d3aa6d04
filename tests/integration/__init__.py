"""On a real control plane without nodes, and real servers. A package: the control plane goes with its last test."""
