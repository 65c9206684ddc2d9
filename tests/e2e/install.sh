#!/bin/sh
# What the slow tests need beyond Python: a browser, an object store, a database server. Installs them where it may, else says so;
# tests whose tool is missing skip with the reason.
set -u
missing=""
command -v chromium >/dev/null || missing="$missing chromium"
command -v radosgw >/dev/null || missing="$missing ceph-mon ceph-osd ceph-common radosgw"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null && exit 0
fi
echo "not installed:$missing; the tests that need them will skip"
