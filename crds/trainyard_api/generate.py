"""Write the CustomResourceDefinitions and the chart's copies: ``python -m trainyard_api.generate [--check]``."""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from trainyard_api.crd import custom_resource_definition
from trainyard_api.kinds import KINDS

_HEADER = "# Generated from crds/trainyard_api by `make generate`. Do not edit.\n"
_CHART_HEAD = "{{- if .Values.crds.install }}\n"
_CHART_TAIL = "{{- end }}\n"
_KEEP = {"helm.sh/resource-policy": "keep"}
"""An uninstallation of the chart keeps the definitions, because their deletion would delete the users' objects."""


class _Dumper(yaml.SafeDumper):
    """Writes equal values in full each time, because readers and tools do not expect anchors in a manifest."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the signature is yaml's
        return True


def to_yaml(document: dict[str, Any]) -> str:
    """Return one document as YAML. The order of the keys is kept."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def to_template(definition: dict[str, Any]) -> str:
    """Return a definition as a Helm template that ``crds.install`` can disable. Braces in its text are escaped."""
    metadata = {**definition["metadata"], "annotations": _KEEP}
    text = to_yaml({**definition, "metadata": metadata}).replace("{{", '{{ "{{" }}')
    return _HEADER + _CHART_HEAD + text + _CHART_TAIL


def outputs(root: Path) -> dict[Path, str]:
    """Return the path and the expected text of every generated file below the checkout ``root``."""
    files = {}
    for kind in KINDS:
        definition = custom_resource_definition(kind)
        files[root / "crds" / f"{kind.plural}.yaml"] = _HEADER + to_yaml(definition)
        files[root / "charts" / "trainyard" / "templates" / "crds" / f"{kind.plural}.yaml"] = to_template(definition)
    return files


def checkout() -> Path:
    """Return the root of the checkout that this module is imported from.

    Raises
    ------
    FileNotFoundError
        If the package is not installed from a checkout. Then there are no files to generate.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file():
        raise FileNotFoundError(f"{root} is not a checkout of trainyard: run this from an editable install (make venv)")
    return root


def main(arguments: list[str] | None = None, root: Path | None = None) -> int:
    """Write the files. With ``--check``, report the files that differ and return 1."""
    parser = argparse.ArgumentParser(prog="python -m trainyard_api.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    check: bool = parser.parse_args(arguments).check
    root = checkout() if root is None else root
    stale = {
        path: text
        for path, text in outputs(root).items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    }
    for path, text in stale.items():
        name = path.relative_to(root)
        if check:
            sys.stderr.write(f"{name} is out of date: run `make generate`\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {name}\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
