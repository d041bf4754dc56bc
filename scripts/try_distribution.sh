#!/bin/sh
# Installs a wheel or sdist into an empty environment, far from the checkout, and does the main job.
set -eu
archive=$(realpath "$1")
constraints=$(realpath "$(dirname "$0")/../constraints.txt")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
"${PYTHON:-python3}" -m venv env
env/bin/python -m pip install --quiet -c "$constraints" "$archive"
env/bin/separate run "$(env/bin/python -c 'import separate; print(separate.example_path())')" -q drums -o out
env/bin/python - <<'END'
import pathlib, sys
import separate
assert pathlib.Path(sys.prefix) in pathlib.Path(separate.__file__).parents, separate.__file__
END
test -s out/*/drums.wav
echo "$(basename "$archive"): installed and used"
