#!/bin/sh
# Written by `portcullis builder init`; change it and review it like code. It runs in a sandbox without network: the
# archives are those that WORKSPACE names by digest, fetched and checked before.
set -eu
export USER=build HOME=/tmp JAVA_HOME=/usr/lib/jvm/java-17-openjdk-amd64

# Bazel looks for an archive in its cache, by digest, before it asks the network
cache=/tmp/archives
for file in /build/inputs/bazel/*; do
    [ -f "$file" ] || continue
    mkdir -p "$cache/content_addressable/sha256/${file##*/}"
    cp "$file" "$cache/content_addressable/sha256/${file##*/}/file"
done

# Debian has the rules as packages. Those for C are of a later Bazel, and use one name that this one does not know.
rules=/usr/share/bazel/rules
tools=/usr/share/bazel/tools
cp -R "$rules/cc" /tmp/rules_cc
sed -i -e 's/, "use_cpp_toolchain"//' -e 's|use_cpp_toolchain()|["@bazel_tools//tools/cpp:toolchain_type"]|' \
    /tmp/rules_cc/cc/private/rules_impl/*.bzl

# the sandbox of the build is this one: Bazel's own would need privileges that nothing here has
bazel --batch --bazelrc=/etc/bazel/bazelrc --nosystem_rc --nohome_rc --output_user_root=/tmp/bazel \
    --server_javabase="$JAVA_HOME" build --spawn_strategy=local --symlink_prefix=/tmp/bazel- \
    --repository_cache="$cache" \
    --override_repository=rules_cc=/tmp/rules_cc --override_repository=rules_java="$rules/java" \
    --override_repository=rules_proto="$rules/proto" --override_repository=bazel_skylib="$tools/skylib" \
    --override_repository=platforms="$tools/platforms" \
    {LABELS}
mkdir -p out
cp -L {FILES} out/
