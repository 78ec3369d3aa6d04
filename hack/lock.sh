#!/usr/bin/env bash
# Resolves the constraint files: versions and hashes, no index address. Run by `make lock`.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}
compile() { "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header "$@"; }
compile pyproject.toml --extra dev -o constraints/dev.txt
# The images install subsets of what the tests ran with, so the dev lock constrains them.
compile pyproject.toml --extra operator -c constraints/dev.txt -o constraints/operator.txt
compile pyproject.toml --extra trainer -c constraints/dev.txt -o constraints/trainer.txt
compile pyproject.toml --extra torch -c constraints/dev.txt -o constraints/torch.txt
compile pyproject.toml --extra server -c constraints/dev.txt -o constraints/server.txt
grep -E '^uv==' constraints/dev.txt | cut -d' ' -f1 | compile - -c constraints/dev.txt -o constraints/uv.txt
grep -E '^hatchling==' constraints/dev.txt | cut -d' ' -f1 | compile - -c constraints/dev.txt -o constraints/build.txt
