"""A Kubernetes node without privileges: a real Node object whose pods run as processes of this machine.

docs/decisions/0006-process-node.md says what this node does and what it does not do.
"""
