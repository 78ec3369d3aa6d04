"""What every pod of ours has, whichever kind it is for: the restricted profile, and the files its end is read from."""

from typing import Any, Final

from trainyard_api import meta

Body = dict[str, Any]

USER: Final = 65532
"""The images' own user, by number: the kubelet cannot tell whether a name is root."""


def confined_pod() -> Body:
    """Return the fields of a PodSpec that keep its containers from the node and from the API server."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def confined_container() -> Body:
    """Return the fields of a container that may gain no rights and writes to its volumes and its last words alone."""
    return {
        "terminationMessagePath": meta.TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
