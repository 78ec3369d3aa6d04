"""The generated files: written, checked, and safe as Helm templates."""

from pathlib import Path

import pytest
import yaml

from trainyard_api.generate import checkout, main, outputs, to_template


def test_check_names_outdated_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"], tmp_path) == 1
    assert "crds/trainingjobs.yaml is out of date: run `make generate`" in capsys.readouterr().err
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    copy = tmp_path / "charts" / "trainyard" / "templates" / "crds" / "modelversions.yaml"
    copy.write_text(copy.read_text() + "# edited\n")
    assert main(["--check"], tmp_path) == 1
    assert "charts/trainyard/templates/crds/modelversions.yaml" in capsys.readouterr().err


def test_the_checkout_is_up_to_date() -> None:
    assert main(["--check"], checkout()) == 0


def test_the_copies_in_the_chart_are_kept_and_can_be_disabled() -> None:
    for path, text in outputs(checkout()).items():
        if "charts" not in path.parts:
            continue
        assert "{{- if .Values.crds.install }}\n" in text
        document = yaml.safe_load("\n".join(line for line in text.splitlines() if not line.startswith("{{-")))
        assert document["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_braces_in_a_text_are_escaped() -> None:
    text = to_template({"metadata": {"name": "a"}, "description": "write {{ .name }}"})
    assert 'write {{ "{{" }} .name }}' in text
