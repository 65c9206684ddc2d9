#!/bin/sh
# What the slow tests need beyond Python: a browser, an object store, a database server, Prism, a BigQuery. Installs them where it may,
# else says so; tests whose tool is missing skip with the reason.
set -u
missing=""
command -v chromium >/dev/null || missing="$missing chromium"
command -v radosgw >/dev/null || missing="$missing ceph-mon ceph-osd ceph-common radosgw"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
command -v npm >/dev/null || missing="$missing nodejs npm"
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null && missing=""
fi
[ -z "$missing" ] || echo "not installed:$missing; the tests that need them will skip"

# Prism (https://docs.stoplight.io/docs/prism) checks requests and answers against a vendor's description; 5.14 is the last for Node 18 to 22.
prism=5.14.2
cache="${XDG_CACHE_HOME:-$HOME/.cache}/segmentation-prism"
[ "$("$cache/node_modules/.bin/prism" --version 2>/dev/null)" = "$prism" ] ||
    npm install --prefix "$cache" --no-save --no-audit --no-fund --loglevel=error "@stoplight/prism-cli@$prism" >/dev/null ||
    echo "not installed: Prism $prism; the tests that need it will skip"

# bqemulator answers as BigQuery does, on DuckDB. It has its own environment, and DuckDB's extensions in a home of its own, where it
# looks for them; bigquery_emulator.txt says everything in there, and its copy, written last, that it is complete.
emulator="${XDG_CACHE_HOME:-$HOME/.cache}/segmentation-bigquery-emulator"
pins="$(dirname "$0")/bigquery_emulator.txt"
install_emulator() {
    rm -rf "$emulator" && "${PYTHON:-python3}" -m venv "$emulator" || return
    "$emulator/bin/python" -m pip install -qq --disable-pip-version-check --no-deps --requirement "$pins" || return
    platform=$("$emulator/bin/python" -c 'import duckdb as d; print(d.__version__, *d.sql("PRAGMA platform").fetchone(), sep="/")') || return
    extensions="$emulator/home/.duckdb/extensions/v$platform"
    mkdir -p "$extensions" && cp "$emulator"/lib/python3*/site-packages/duckdb_extension_*/extensions/v*/*.duckdb_extension "$extensions" &&
        cp "$pins" "$emulator/complete.txt"
}
cmp -s "$pins" "$emulator/complete.txt" || install_emulator ||
    echo "not installed: BigQuery emulator; the tests that need it will skip"
