#!/bin/sh
# Written by `portcullis builder init`; change it and review it like code. It runs in a sandbox without network: the
# packages are those that package-lock.json names, fetched and checked before.
set -eu
mkdir -p out /tmp/npm/packed
tar -xzf /build/inputs/npm.tgz -C /tmp/npm
npm() {
    node /tmp/npm/package/bin/npm-cli.js --cache=/tmp/npm/cache --offline --no-audit --no-fund --no-update-notifier "$@"
}
# npm finds a package in its cache by the digest that package-lock.json names
cache=/tmp/npm/cache/_cacache/content-v2
find /build/inputs/npm -name '*.tgz' > /tmp/npm/list
for algorithm in sha512 sha384 sha256; do
    while read -r file; do
        sum=$("${algorithm}sum" "$file")
        sum=${sum%% *}
        rest=${sum#????}
        start=${sum%"$rest"}
        folder=$cache/$algorithm/${start%??}/${start#??}
        mkdir -p "$folder"
        ln -s "$file" "$folder/$rest"
    done < /tmp/npm/list
done
# npm looks into its cache only for an entry that says where it came from
node - <<'END'
const fs = require('fs');
const lock = JSON.parse(fs.readFileSync('package-lock.json', 'utf8'));
for (const [path, entry] of Object.entries(lock.packages)) {
  const at = path.lastIndexOf('node_modules/');
  if (at < 0 || !entry.integrity || entry.resolved) continue;
  const name = entry.name || path.slice(at + 13);
  entry.resolved = `https://registry.npmjs.org/${name}/-/${name.split('/').pop()}-${entry.version}.tgz`;
}
fs.writeFileSync('package-lock.json', JSON.stringify(lock, null, 2) + '\n');
END
npm ci
npm run build --if-present
npm pack --pack-destination=/tmp/npm/packed
mv /tmp/npm/packed/*.tgz out/{NAME}.tgz
