#!/usr/bin/env bash
# Prints a Python >= 3.12 that can make virtual environments, or says what is missing.
set -u
usable() { command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; raise SystemExit(sys.version_info < (3, 12))' >/dev/null 2>&1; }
wanted=$(cat .python-version 2>/dev/null || echo 3.12)
candidates=(${PYTHON:-} "python$wanted" python3.12 python3.13 python3.14 python3)
for root in "${PYENV_ROOT:-$HOME/.pyenv}/versions"; do
    for folder in "$root/$wanted"* "$root"/3.1[3-9]*; do
        [ -x "$folder/bin/python" ] && candidates+=("$folder/bin/python")
    done
done
found=
for python in "${candidates[@]}"; do
    usable "$python" || continue
    found=$python
    "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 && { command -v "$python"; exit 0; }
done
if [ -n "$found" ]; then
    version=$("$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    echo "halo-tui: $found cannot make virtual environments. Install its venv module: sudo apt install python$version-venv" >&2
else
    echo "halo-tui: no Python >= 3.12 found. Install one (sudo apt install python3 python3-venv, where that is 3.12 or newer; else pyenv install 3.12), or name it: make PYTHON=/path/to/python3.12" >&2
fi
exit 1
