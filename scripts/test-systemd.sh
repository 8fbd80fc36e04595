#!/usr/bin/env bash
# Tests the installed service under a live systemd, which runs sealed off from
# this machine: in a Debian of its own that lies in memory, with no file system
# of the machine mounted, and with namespaces of its own for processes,
# network, mounts, names, IPC and control groups. An init cleans up what it
# takes for its machine; so it is started only after `sealed` has proved, from
# outside, that it can reach nothing but its own. Where that can't be had the
# test is skipped and says why. It ends with this script, however that ends.
# Needs root, Linux 5.14 and 2 GB of memory.
#
#   test-systemd.sh [FILE.deb]           without a file the package is built
#   test-systemd.sh --shell [FILE.deb]   a shell inside instead of the test
#
# SUITE=trixie takes another Debian; test-package.sh makes it, with the same
# variable. VERBOSE=1 shows what the test says.
set -euo pipefail
cd "$(dirname "$0")/.."
suite=${SUITE:-bookworm}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pec-ingest

step() { echo "-- $*"; }
die() { echo "test-systemd: $*" >&2; exit 1; }
skip() { echo "test-systemd: skipped, nothing was started: $*"; exit 0; }

# Clocks, modules, devices, raw I/O, the kernel's log, reboot: the service needs
# none of these, and no namespace holds them.
taken_away=-sys_time,-sys_module,-mknod,-sys_rawio,-sys_boot,-syslog,-wake_alarm,-block_suspend,-mac_admin,-mac_override,-dac_read_search,-linux_immutable,-audit_control,-audit_read

# inside NEWROOT TAR: runs as the first process of the new namespaces, still on
# the machine's files, and leaves them for ever. It starts systemd only when
# its standard input says so.
inside() {
  local new=$1 tar=$2 f word
  mount -t tmpfs -o size=2g,mode=755,nodev debian "$new"
  tar -C "$new" -xf "$tar"
  cd "$new"
  mkdir -p dev proc sys run tmp
  mount -t proc -o nosuid,nodev,noexec proc proc
  mount -t tmpfs -o mode=755,nosuid,nodev run run
  mount -t tmpfs -o mode=1777,nosuid,nodev tmp tmp
  mount -t tmpfs -o mode=755,nosuid dev dev
  mknod -m 666 dev/null c 1 3
  mknod -m 666 dev/zero c 1 5
  mknod -m 666 dev/full c 1 7
  mknod -m 666 dev/random c 1 8
  mknod -m 666 dev/urandom c 1 9
  mknod -m 666 dev/tty c 5 0
  mkdir dev/pts dev/shm
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
  ln -s pts/ptmx dev/ptmx
  ln -s /proc/self/fd dev/fd
  mount -t tmpfs -o mode=755,nosuid,nodev sys sys
  mkdir -p sys/fs/cgroup
  mount -t cgroup2 cgroup2 sys/fs/cgroup
  mount -o remount,ro sys
  for f in sys sysrq-trigger; do # the kernel's settings are the machine's
    [ -e "proc/$f" ] || continue
    mount --bind "proc/$f" "proc/$f"
    mount -o remount,bind,ro,nosuid,nodev,noexec "proc/$f"
  done
  for f in systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service systemd-tmpfiles-clean.service \
    systemd-tmpfiles-clean.timer systemd-journald-audit.socket systemd-sysctl.service systemd-modules-load.service systemd-remount-fs.service \
    dev-hugepages.mount dev-mqueue.mount proc-sys-fs-binfmt_misc.automount sys-fs-fuse-connections.mount \
    sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount getty.target console-getty.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer man-db.timer; do
    ln -sf /dev/null "etc/systemd/system/$f"
  done
  mkdir machine
  pivot_root . machine
  cd /
  umount -l /machine
  rmdir /machine
  mount --make-rshared / # among its own namespaces: systemd hands out credentials so
  [ -z "$(ls -A /tmp)" ]
  hostname pec-ingest-test
  echo ready
  read -r word
  [ "$word" = start ]
  exec 0</dev/null 1>/dev/null 2>&1
  exec setpriv --bounding-set="$taken_away" env -i container=pec-ingest-test \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 /lib/systemd/systemd --system --unit=multi-user.target
}

# sealed PID: the proof, from outside. All namespaces are others than ours; of
# the mounted file systems not one is mounted on the machine too, and only such
# kinds are there as live in memory; of the control groups it sees its own.
sealed() {
  local pid=$1 ns shared kinds
  for ns in mnt pid net uts ipc cgroup; do
    [ "$(readlink "/proc/$pid/ns/$ns")" != "$(readlink "/proc/$$/ns/$ns")" ] || die "not sealed: shares the namespace $ns"
  done
  mounts() { awk '{ for (i = 7; $i != "-"; i++); print $3, $4, $(i+1) }' "$1" | sort -u; }
  kinds=$(mounts "/proc/$pid/mountinfo" | awk '{print $3}' | sort -u | tr '\n' ' ')
  [ "$kinds" = "cgroup2 devpts proc tmpfs " ] || die "not sealed: mounted are $kinds"
  shared=$(join <(mounts "/proc/$pid/mountinfo" | awk '$3 != "cgroup2" {print $1}' | sort -u) \
    <(awk '{print $3}' /proc/self/mountinfo | sort -u))
  [ -z "$shared" ] || die "not sealed: shares file systems with the machine: $shared"
  [ "$(mounts "/proc/$pid/mountinfo" | awk '$3 == "cgroup2" {print $2}')" = "/${group##*/}" ] || die "not sealed: sees foreign control groups"
  [ -n "$(ls -A "$work")" ] && [ ! -e "/proc/$pid/root$work" ] && [ -z "$(ls -A "/proc/$pid/root/tmp")" ] || die "not sealed: sees this machine's files"
}

# end kills what runs in our own control group, which is all that was started.
end() {
  exec 7>&- 8>&- || true
  if [ -n "${group:-}" ] && [ -d "$group" ]; then
    echo 1 >"$group/cgroup.kill"
    [ -z "${unshared:-}" ] || wait "$unshared" 2>/dev/null || true
    for _ in $(seq 50); do
      find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
      sleep 0.1
    done
  fi
  rm -rf --one-file-system "$work"
  rmdir "$new" 2>/dev/null || true
}

if [ "${1:-}" = --inside ]; then
  shift
  inside "$@"
fi
shell=
if [ "${1:-}" = --shell ]; then
  shell=yes
  shift
fi

[ "$(id -u)" = 0 ] || skip "it needs root"
for program in unshare nsenter setpriv pivot_root debootstrap; do
  command -v $program >/dev/null || skip "there is no $program here"
done
groups=$(findmnt -n -l -t cgroup2 -o TARGET | head -1)
[ -n "$groups" ] || skip "no cgroup2 is mounted here"
[ -e "$cache/$suite.tar" ] || skip "no fresh Debian in $cache; scripts/test-package.sh makes it"
deb=${1:-}
work=$(mktemp -d /tmp/pec-ingest-systemd.XXXXXX)
new=$(mktemp -d /var/lib/pec-ingest-systemd.XXXXXX)
trap end EXIT
trap 'exit 1' HUP INT TERM PIPE
if [ -z "$deb" ]; then
  step "build the package"
  git clone -q . "$work/source"
  (cd "$work/source" && ./scripts/build-deb.sh >/dev/null)
  deb=$(echo "$work"/source/dist/*.deb)
fi

group=$groups/pec-ingest-test.$$
mkdir "$group" 2>/dev/null || { group=; skip "no control group can be made below $groups"; }
[ -w "$group/cgroup.kill" ] || skip "the kernel has no cgroup.kill (Linux 5.14)"
(echo $BASHPID >"$group/cgroup.procs") 2>/dev/null || skip "a control group can't be entered"
mkfifo "$work/say" "$work/hear"
step "a Debian of its own, in memory"
(
  echo $BASHPID >"$group/cgroup.procs"
  exec setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork --kill-child --uts --ipc --net --cgroup -- \
    "$BASH" scripts/test-systemd.sh --inside "$new" "$cache/$suite.tar" <"$work/say" >"$work/hear" 2>"$work/inside.log"
) &
unshared=$!
exec 7>"$work/say" 8<"$work/hear"
word=
read -r -t 120 word <&8 || true
[ "$word" = ready ] || skip "the namespaces can't be made: $(tail -1 "$work/inside.log")"
pid=$(tr -d ' ' <"/proc/$unshared/task/$unshared/children")
sealed "$pid"
step "it is sealed: $(awk '{ for (i = 7; $i != "-"; i++); print $5 "=" $(i+1) }' "/proc/$pid/mountinfo" | tr '\n' ' ')"

in_it() { nsenter -t "$pid" -m -u -i -n -p -C -r -w -- env -i container=pec-ingest-test PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb "$@"; }

step "systemd starts in it"
cp "$deb" "/proc/$pid/root/root/pec-ingest.deb"
echo start >&7
state=
for _ in $(seq 300); do
  state=$(in_it systemctl is-system-running 2>/dev/null) || true
  case $state in running | degraded) break ;; esac
  sleep 0.2
done
case $state in
running) ;;
degraded) in_it systemctl --failed --no-pager; die "units failed" ;;
*) die "systemd did not come up: $state" ;;
esac
if [ -n "$shell" ]; then
  in_it bash
  exit 0
fi
step "the service under it"
${GO:-go} test -c -o "$work/deploy.test" ./deploy
(cd deploy && nsenter -t "$pid" -n -- env PEC_INGEST_REAL=1 PEC_INGEST_SEALED="$pid" \
  timeout 600 "$work/deploy.test" -test.run '^TestUnderSystemd$' -test.v) >"$work/day" 2>&1 ||
  { cat "$work/day"; die "the service under systemd"; }
[ -z "${VERBOSE:-}" ] || cat "$work/day"
grep '^--- PASS' "$work/day" || die "nothing was tested"
