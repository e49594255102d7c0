#!/usr/bin/env bash
# The source of tree 2.1.0 from the distribution that this machine's apt uses; its digest is checked by the caller.
set -euo pipefail
out="$HOME/.cache/portcullis/downloads"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
site=$(apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' \
  | awk '$3 == "main" && $1 !~ /security/ && $2 !~ /nodistro|cloud/ { print $1; exit }')
[ -n "$site" ] || { echo "fetch-upstream: no Debian mirror is configured" >&2; exit 1; }
mkdir -p "$work/lists/partial" "$out"
echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site bookworm main" > "$work/sources.list"
options=(-qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
  -o APT::Sandbox::User=root)
apt-get "${options[@]}" update
(cd "$work" && apt-get "${options[@]}" source --download-only tree=2.1.0-1)
cp "$work/tree_2.1.0.orig.tar.gz" "$out/"
