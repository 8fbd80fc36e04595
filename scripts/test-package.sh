#!/usr/bin/env bash
# Tests the Debian package where it will live: in a fresh Debian, made by
# debootstrap below a temporary folder and entered by chroot. No init is
# started, nothing on this machine is changed. Needs root; the fresh Debian is
# kept in the cache folder for the next time.
#
#   test-package.sh [FILE.deb]     without a file the package is built, twice
#
# SUITE=trixie tests in another Debian than bookworm.
set -euo pipefail
cd "$(dirname "$0")/.."
suite=${SUITE:-bookworm}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pec-ingest
work=$(mktemp -d /tmp/pec-ingest-package.XXXXXX)
root=$work/root

cleanup() {
  umount "$root/proc" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap cleanup EXIT

step() { echo "-- $*"; }
die() { echo "test-package: $*" >&2; exit 1; }
inside() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"; }
# fails CODE COMMAND…: the command must end with that code.
fails() {
  local want=$1 got=0
  shift
  inside "$@" >"$work/out" 2>&1 || got=$?
  [ "$got" = "$want" ] || { cat "$work/out"; die "$*: exit $got, want $want"; }
}

[ "$(id -u)" = 0 ] || die "needs root, for chroot"

if [ $# -gt 0 ]; then
  deb=$1
else
  step "two builds in two folders give the same bytes"
  for n in one two; do
    git clone -q . "$work/$n"
    (cd "$work/$n" && ./scripts/build-deb.sh >/dev/null)
  done
  deb=$(echo "$work"/one/dist/*.deb)
  cmp "$deb" "$work"/two/dist/*.deb
fi
version=$(dpkg-deb -f "$deb" Version)

if command -v lintian >/dev/null; then
  step "lintian finds no error"
  lintian --allow-root --fail-on error --suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog,statically-linked-binary "$deb" >"$work/lintian" 2>&1 ||
    { cat "$work/lintian"; die "lintian"; }
fi

if [ ! -e "$cache/$suite.tar" ]; then
  step "debootstrap $suite, once"
  mkdir -p "$cache"
  debootstrap --variant=minbase --include=systemd,ca-certificates,man-db $suite "$root" >"$work/debootstrap.log" 2>&1 ||
    { tail -20 "$work/debootstrap.log"; die "debootstrap"; }
  tar -C "$root" -cf "$cache/$suite.tar.new" .
  mv "$cache/$suite.tar.new" "$cache/$suite.tar"
else
  mkdir -p "$root"
  tar -C "$root" -xf "$cache/$suite.tar"
fi
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
mount -t proc proc "$root/proc"

# The same package as an older version, with another configuration: what an
# upgrade starts from.
step "an older version of the package"
dpkg-deb -R "$deb" "$work/old"
sed -i 's/^Version: .*/Version: 0~before/' "$work/old/DEBIAN/control"
echo '# the older default' >>"$work/old/etc/pec-ingest/config.toml"
dpkg-deb --root-owner-group -Zgzip -z1 -b "$work/old" "$root/tmp/old.deb" >/dev/null
cp "$deb" "$root/tmp/new.deb"

step "install"
inside dpkg -i /tmp/old.deb >"$work/install" 2>&1 || { cat "$work/install"; die "install"; }
for said in 'ingest init --keys /etc/pec-ingest' 'systemctl enable --now pec-ingest' 'ingest check'; do
  grep -qF "$said" "$work/install" || { cat "$work/install"; die "postinst does not say: $said"; }
done
inside getent passwd pec-ingest | grep -q ':/usr/sbin/nologin$' || die "no account pec-ingest"
[ "$(inside stat -c '%a %U:%G' /var/lib/pec-ingest)" = "700 pec-ingest:pec-ingest" ] || die "state folder"
[ "$(inside stat -c '%a %U:%G' /etc/pec-ingest/private)" = "700 root:root" ] || die "private folder"
[ "$(inside stat -c '%a %U:%G' /etc/pec-ingest/config.toml)" = "644 root:root" ] || die "configuration"
inside ingest version
[ "$(stat -c %s "$root/usr/bin/ingest")" -lt 4000000 ] || die "/usr/bin/ingest is not the small program"
inside ingest version >"$work/front" && inside /usr/lib/pec-ingest/ingest version | cmp - "$work/front" || die "two versions"
inside man -w ingest pec-ingest.toml >/dev/null
inside systemd-analyze verify /usr/lib/systemd/system/pec-ingest.service >"$work/verify" 2>&1 || { cat "$work/verify"; die "verify"; }
[ ! -s "$work/verify" ] || { cat "$work/verify"; die "systemd-analyze verify is not silent"; }
for shell_file in bash-completion/completions/ingest zsh/vendor-completions/_ingest fish/vendor_completions.d/ingest.fish; do
  [ -s "$root/usr/share/$shell_file" ] || die "no $shell_file"
done

step "the administrator's first steps"
fails 6 ingest check # the package's configuration has no inbox yet
grep -q 'inbox.username' "$work/out" || { cat "$work/out"; die "check does not say what is missing"; }
inside ingest init --keys /etc/pec-ingest >"$work/init"
grep -q 'AGE-SECRET-KEY-1' "$work/init" || die "no recovery key was printed"
[ "$(inside stat -c '%a %U' /etc/pec-ingest/private/identity.txt)" = "600 root" ] || die "identity"
fails 1 ingest init --keys /etc/pec-ingest # never overwrites
sed -i -e 's/^host = "".*/host = "127.0.0.1"/' -e 's/^port = 993/port = 9/' \
  -e '/^\[inbox\]/,/^\[trust\]/s/^username = "".*/username = "studio@pec.example"/' "$root/etc/pec-ingest/config.toml"
inside install -m 0600 /dev/stdin /etc/pec-ingest/private/inbox-password <<<secret
fails 1 ingest check # nobody listens on port 9, the rest is well
grep -q "^error *inbox" "$work/out" && [ "$(grep -c ^error "$work/out")" = 1 ] || { cat "$work/out"; die "check should find the inbox alone"; }
inside ingest client add rossi@pec.it
[ "$(inside stat -c '%a %U' /var/lib/pec-ingest/vault.db)" = "600 pec-ingest" ] || die "the service could not open root's vault"
inside ingest status | grep -q 'rossi@pec.it' || die "status"
inside systemctl enable --quiet pec-ingest.service
[ -L "$root/etc/systemd/system/multi-user.target.wants/pec-ingest.service" ] || die "not enabled"
cp "$root/etc/pec-ingest/config.toml" "$work/config.mine"

step "upgrade to $version keeps the configuration"
inside dpkg --force-confold -i /tmp/new.deb >"$work/upgrade" 2>&1 </dev/null || { cat "$work/upgrade"; die "upgrade"; }
cmp "$work/config.mine" "$root/etc/pec-ingest/config.toml"
inside ingest status | grep -q 'rossi@pec.it' || die "status after the upgrade"
if grep -q 'Next, as root' "$work/upgrade"; then die "an upgrade prints the first steps"; fi
[ -L "$root/etc/systemd/system/multi-user.target.wants/pec-ingest.service" ] || die "the upgrade disabled the service"

step "remove keeps configuration, keys and vault"
inside dpkg -r pec-ingest >/dev/null 2>&1
[ ! -e "$root/usr/bin/ingest" ] && [ ! -e "$root/usr/lib/pec-ingest" ] || die "the program is still there"
[ ! -L "$root/etc/systemd/system/multi-user.target.wants/pec-ingest.service" ] || die "still enabled"
for kept in /etc/pec-ingest/config.toml /etc/pec-ingest/private/identity.txt /etc/pec-ingest/recipients.txt /var/lib/pec-ingest/vault.db; do
  [ -e "$root$kept" ] || die "remove took $kept"
done
cmp "$work/config.mine" "$root/etc/pec-ingest/config.toml"

step "install again finds everything"
inside dpkg --force-confold -i /tmp/new.deb >/dev/null 2>&1 </dev/null
inside ingest status | grep -q 'rossi@pec.it' || die "status after installing again"

step "purge leaves nothing but the account"
purged() {
  inside dpkg -P pec-ingest >/dev/null 2>&1
  rm -rf "$root"/run/*pec-ingest
  left=$(cd "$root" && find etc usr var run -name '*pec-ingest*' ! -path 'var/log/*' ! -path 'var/cache/*')
  [ -z "$left" ] || die "left behind: $left"
}
purged

step "a new administrator's day, against a real Dovecot"
inside dpkg -i /tmp/new.deb >/dev/null 2>&1
PEC_INGEST_REAL=1 PEC_INGEST_ROOT=$root ${GO:-go} test -count=1 -run '^TestInstalled$' -v ./deploy >"$work/day" 2>&1 ||
  { cat "$work/day"; die "the installed service"; }
grep -E 'from the letter|^--- PASS' "$work/day" || die "nothing was tested"
purged
echo "ok: pec-ingest $version"
