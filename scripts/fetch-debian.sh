#!/usr/bin/env bash
# fetch-debian.sh SUITE PACKAGE PROGRAM…: programs of a package of one of Debian's newer suites, unpacked and not installed, into
# ~/.cache/portcullis/tools. What is there already is left alone. The mirror and its keys are those that this machine's
# apt uses already.
set -euo pipefail
suite=$1 package=$2
shift 2
tools="$HOME/.cache/portcullis/tools"
missing=()
for program in "$@"; do [ -x "$tools/$program" ] || missing+=("$program"); done
[ ${#missing[@]} -gt 0 ] || exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
[ -n "$(ls -A /var/lib/apt/lists/partial/../*Packages* 2>/dev/null)" ] || apt-get update -qq || true
site=$(apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
  | awk '$3 == "main" && $1 !~ /security/ && $2 !~ /nodistro|cloud/ { print $1; exit }')
[ -n "$site" ] || { echo "fetch-debian: no Debian mirror is configured; put ${missing[*]} into $tools yourself" >&2; exit 1; }
mkdir -p "$work/lists/partial" "$work/archives/partial" "$tools"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $suite main" > "$work/sources.list"
options=(-qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
  -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root)
apt-get "${options[@]}" update
(cd "$work" && apt-get "${options[@]}" download "$package")
dpkg -x "$work/${package}"_*.deb "$work/unpacked"
for program in "${missing[@]}"; do
  cp "$work/unpacked/usr/bin/$program" "$tools/$program.tmp"
  mv "$tools/$program.tmp" "$tools/$program"
done
echo "$package from Debian $suite: $(basename "$work/${package}"_*.deb)"
