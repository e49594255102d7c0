#!/usr/bin/env bash
# gVisor's runsc from Debian 13, unpacked and not installed, into ~/.cache/portcullis/tools.
# The mirror and its keys are those that this machine's apt uses already.
set -euo pipefail
tools="$HOME/.cache/portcullis/tools"
[ -x "$tools/runsc" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
[ -n "$(ls -A /var/lib/apt/lists/partial/../*Packages* 2>/dev/null)" ] || apt-get update -qq || true
site=$(apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
  | awk '$3 == "main" && $1 !~ /security/ && $2 !~ /nodistro|cloud/ { print $1; exit }')
[ -n "$site" ] || { echo "fetch-runsc: no Debian mirror is configured; put runsc at $tools/runsc yourself" >&2; exit 1; }
mkdir -p "$work/lists/partial" "$work/archives/partial" "$tools"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site trixie main" > "$work/sources.list"
options=(-qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
  -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root)
apt-get "${options[@]}" update
(cd "$work" && apt-get "${options[@]}" download runsc)
dpkg -x "$work"/runsc_*.deb "$work/unpacked"
cp "$work/unpacked/usr/bin/runsc" "$tools/runsc.tmp"
mv "$tools/runsc.tmp" "$tools/runsc"
"$tools/runsc" --version | head -1
