#!/usr/bin/env bash
# cosign 3 from Debian's newer suites, unpacked and not installed, into ~/.cache/portcullis/tools.
# The mirror and its keys are those that this machine's apt uses already.
set -euo pipefail
tools="$HOME/.cache/portcullis/tools"
[ -x "$tools/cosign" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
[ -n "$(ls -A /var/lib/apt/lists/partial/../*Packages* 2>/dev/null)" ] || apt-get update -qq || true
site=$(apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
  | awk '$3 == "main" && $1 !~ /security/ && $2 !~ /nodistro|cloud/ { print $1; exit }')
[ -n "$site" ] || { echo "fetch-cosign: no Debian mirror is configured; put cosign 3 at $tools/cosign yourself" >&2; exit 1; }
mkdir -p "$work/lists/partial" "$work/archives/partial" "$tools"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site sid main" > "$work/sources.list"
options=(-qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
  -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root)
apt-get "${options[@]}" update
(cd "$work" && apt-get "${options[@]}" download cosign)
dpkg -x "$work"/cosign_*.deb "$work/unpacked"
cp "$work/unpacked/usr/bin/cosign" "$tools/cosign.tmp"
mv "$tools/cosign.tmp" "$tools/cosign"
"$tools/cosign" version 2>/dev/null | grep -m1 GoVersion || true
