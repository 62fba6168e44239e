#!/bin/sh
# Builds etcd, kube-apiserver and kube-controller-manager from the modules that go.mod pins: build.sh FOLDER
# Takes minutes the first time. GO names the go command (1.26 or newer); nothing is downloaded prebuilt.
set -eu
out=$(mkdir -p "${1:?folder for the binaries}" && cd "$1" && pwd)
cd "$(dirname "$0")"
go=${GO:-go}
export GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0
# Without a version the server calls itself v0.0.0, and clients misbehave.
version=$("$go" list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v*.}
package=k8s.io/component-base/version
stamp="-s -w -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
"$go" build -trimpath -ldflags "$stamp" -o "$out/" k8s.io/kubernetes/cmd/kube-apiserver
"$go" build -trimpath -ldflags "$stamp" -o "$out/" k8s.io/kubernetes/cmd/kube-controller-manager
# The main package of etcd is called `server`.
"$go" build -trimpath -ldflags '-s -w' -o "$out/etcd" go.etcd.io/etcd/server/v3
