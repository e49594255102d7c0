#!/usr/bin/env bash
# Builds the pinned kube-apiserver, kube-controller-manager, kubectl and etcd from the Go module beside
# this file into ~/.cache/portcullis/kubernetes/VERSION. What is there already is left alone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$here/go.mod")
out="$HOME/.cache/portcullis/kubernetes/${version#v}"
mkdir -p "$out"
if [ -x "$out/etcd" ] && [ -x "$out/kubectl" ] && [ -x "$out/kube-controller-manager" ] && [ -x "$out/kube-apiserver" ]; then
  exit 0
fi
go=$("$here/../find-go.sh")
major=${version#v}; minor=${major#*.}; minor=${minor%%.*}; major=${major%%.*}
stamp=""
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  stamp+=" -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor -X $package.gitTreeState=archive"
done
cd "$here"
export CGO_ENABLED=0 GOFLAGS=-mod=readonly
for package in go.etcd.io/etcd/server/v3 k8s.io/kubernetes/cmd/kubectl k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kube-controller-manager; do
  name=${package##*/}
  [ "$name" = v3 ] && name=etcd
  [ -x "$out/$name" ] && continue
  echo "building $name $version (some minutes the first time)"
  "$go" build -trimpath -ldflags "-s -w$stamp" -o "$out/$name.tmp" "$package"
  mv "$out/$name.tmp" "$out/$name"
done
