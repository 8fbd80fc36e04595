#!/bin/sh
# Installs what the tests need from Debian, by name and only what is missing.
# Runs as root or with sudo, asks nothing, starts no service.
#
# usage: install-test-deps.sh [SET]…    sets of the table below; default: test
set -eu

# program, package, set
table='
/usr/sbin/dovecot        dovecot-imapd    test
/usr/sbin/postfix        postfix          test
/usr/bin/openssl         openssl          test
/usr/bin/python3         python3          bench
/usr/bin/pass            pass             bench
/usr/bin/gopass          gopass           bench
/usr/bin/gpg             gnupg            bench
/usr/bin/mbsync          isync            test
/usr/bin/msmtp           msmtp            test
/usr/bin/fetchmail       fetchmail        test
/usr/bin/getmail         getmail6         test
/usr/bin/strace          strace           test
/usr/bin/promtool        prometheus       test
/usr/bin/etcd            etcd-server      test
/usr/bin/systemd-analyze systemd          test
/usr/bin/mandoc          mandoc           test
/usr/bin/fish            fish             test
/usr/bin/zsh             zsh              test
/usr/bin/chromium        chromium         test
/usr/share/fonts/truetype/dejavu fonts-dejavu-core test
/usr/sbin/nginx          nginx-light      test
/usr/sbin/debootstrap    debootstrap      package
/usr/bin/lintian         lintian          package
'
sets=${*:-test}

missing=$(echo "$table" | while read -r program package set; do
	case " $sets " in
	*" $set "*) [ -z "$program" ] || [ -x "$program" ] || echo "$package" ;;
	esac
done | sort -u)

if [ -z "$missing" ]; then
	echo "install-test-deps: everything is installed"
	exit 0
fi
if ! command -v apt-get >/dev/null; then
	echo "install-test-deps: no apt-get here; please install by hand:" $missing >&2
	exit 1
fi

root=
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "install-test-deps: needs root or sudo to install:" $missing >&2
		exit 1
	fi
	root=sudo
fi

# A package's scripts ask this file whether they may start their service: 101
# is no. A file of that name that was there before stays, and is believed.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap '$root rm -f "$policy"' EXIT
	trap 'exit 1' HUP INT TERM
	printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
	$root chmod 755 "$policy"
fi

echo "install-test-deps: installing" $missing
# env, since sudo drops the variables of its caller. The answers keep Postfix
# from asking and from listening.
apt() {
	$root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
		-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}
case " $(echo $missing) " in
*" postfix "*)
	echo 'postfix postfix/main_mailer_type select No configuration' |
		$root debconf-set-selections
	;;
esac
apt update
# shellcheck disable=SC2086 # one word a package
apt install --no-install-recommends $missing
