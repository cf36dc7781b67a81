#!/bin/sh
# Builds Docker's compose from its sources with Go, for an engine without it: get-compose.sh FILE (minutes, once).
set -eu
version=v2.40.3
[ -x "$1" ] && exit
command -v go >/dev/null || {
    echo "\`docker compose\` is missing, and Go to build it: install Docker's compose plugin" >&2
    exit 2
}
echo "==> Building docker compose $version"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
go mod init compose >log 2>&1 && go get "github.com/docker/compose/v2/cmd@$version" >>log 2>&1 &&
    go build -trimpath -ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=$version" \
        -o docker-compose github.com/docker/compose/v2/cmd >>log 2>&1 || { tail -n 5 log >&2; exit 1; }
cd - >/dev/null
mkdir -p "$(dirname -- "$1")"
mv "$folder/docker-compose" "$1"
