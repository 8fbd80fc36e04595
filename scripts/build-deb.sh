#!/usr/bin/env bash
# Builds dist/pec-ingest_VERSION_ARCH.deb. The same commit gives the same
# bytes: every time stamp is the commit's, and the version comes from the
# version control system.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022
export LC_ALL=C TZ=UTC
GO=${GO:-go}

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
day=$(date -d "@$SOURCE_DATE_EPOCH" +%F)
if tag=$(git describe --tags --match 'v[0-9]*' 2>/dev/null); then
  version=$(sed -e 's/^v//' -e 's/-\([0-9]*\)-g/+\1.g/' <<<"$tag")
else
  version=0~git$(date -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).$(git rev-parse --short=12 HEAD)
fi
if [ -n "$(git status --porcelain --untracked-files=no)" ]; then
  version=$version+dirty
fi
arch=${DEB_ARCH:-$($GO env GOARCH)}
DEB_MAINTAINER=${DEB_MAINTAINER:-The pec-ingest authors <pec-ingest@localhost>}
export DEB_MAINTAINER SOURCE_DATE_EPOCH DEB_VERSION=$version DEB_ARCH=$arch

rm -rf dist/stage dist/config.toml
stage=dist/stage
share=$stage/usr/share
mkdir -p $stage/usr/bin $stage/usr/lib/{pec-ingest,systemd/system,sysusers.d,tmpfiles.d} \
  $share/man/man1 $share/man/man5 $share/bash-completion/completions \
  $share/zsh/vendor-completions $share/fish/vendor_completions.d $share/doc/pec-ingest/examples

# The program, and the small one before it (cmd/ingest/front).
build() {
  CGO_ENABLED=0 GOARCH=$arch $GO build -trimpath -buildvcs=auto -ldflags '-s -w -buildid=' -o "$1" "$2"
}
build $stage/usr/lib/pec-ingest/ingest ./cmd/ingest
build $stage/usr/bin/ingest ./cmd/ingest/front

# The documents come from a program that runs on this machine.
ingest=$stage/usr/lib/pec-ingest/ingest
if [ "$arch" != "$($GO env GOHOSTARCH)" ]; then
  ingest=dist/ingest-here
  CGO_ENABLED=0 GOARCH=$($GO env GOHOSTARCH) $GO build -trimpath -o $ingest ./cmd/ingest
fi
for page in ingest.1 pec-ingest.toml.5; do
  $ingest man $page --date "$day" --release "$version" | gzip -9n >$share/man/man${page##*.}/$page.gz
done
$ingest completion bash >$share/bash-completion/completions/ingest
$ingest completion zsh >$share/zsh/vendor-completions/_ingest
$ingest completion fish >$share/fish/vendor_completions.d/ingest.fish

# The configuration is what `init` writes; the keys beside it are thrown away.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
$ingest init "$scratch/etc" >/dev/null
cp "$scratch/etc/config.toml" dist/config.toml

cp deploy/systemd/pec-ingest.service $stage/usr/lib/systemd/system/
cp deploy/sysusers.d/pec-ingest.conf $stage/usr/lib/sysusers.d/
cp deploy/tmpfiles.d/pec-ingest.conf $stage/usr/lib/tmpfiles.d/
cp README.md $share/doc/pec-ingest/
cp docs/*.md $share/doc/pec-ingest/
cp CHANGELOG.md $share/doc/pec-ingest/
printf '%s\n' "pec-ingest ($version) unstable; urgency=medium" '' '  * What changed for people: CHANGELOG.md in this folder.' '' \
  " -- $DEB_MAINTAINER  $(date -R -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >$share/doc/pec-ingest/changelog.gz
{
  echo 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/'
  echo
  echo 'Files: *'
  sed -n 's/^Copyright *(c) */Copyright: /Ip' LICENSE | head -1
  echo 'License: Expat'
  sed -e '1,/^Copyright/d' -e 's/^$/./' -e 's/^/ /' LICENSE | sed '1{/^ \.$/d}'
} >$share/doc/pec-ingest/copyright
cp deploy/systemd/restart-steps.conf deploy/prometheus/pec-ingest.rules.yml $share/doc/pec-ingest/examples/

chmod -R u=rwX,go=rX $stage
find $stage dist/config.toml -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
$GO tool -modfile=tools/nfpm.mod nfpm package --config deploy/debian/nfpm.yaml --packager deb \
  --target "dist/pec-ingest_${version}_${arch}.deb"
