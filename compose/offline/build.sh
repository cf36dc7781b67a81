#!/bin/sh
# Builds stand-ins for the images of others, for a machine that reaches no registry of images:
#   compose/offline/build.sh [base|build|postgres|redis|kafka …]       all of them without an argument
#
# Needs root, debootstrap, a Docker engine, and what the packages come from: a mirror of Debian, for Kafka Maven.
# Settings: DEBIAN_MIRROR (debootstrap's default if unset), PENSTOCK_CA_BUNDLE (certificates that this machine's
# builds need; they are in the build image alone), DOCKER.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$(dirname -- "$here")")
docker=${DOCKER:-docker}
prefix=penstock-offline
suite=bookworm

say() { printf '==> %s\n' "$*"; }
there() { "$docker" image inspect "$1" >/dev/null 2>&1; }

base() {
    there "$prefix/python:3.11" && return
    say "Debian $suite with Python ($prefix/python:3.11)"
    command -v debootstrap >/dev/null || { echo "debootstrap is missing: apt-get install debootstrap" >&2; exit 2; }
    folder=$(mktemp -d)
    trap 'rm -rf --one-file-system "$folder"' EXIT
    debootstrap --variant=minbase --include=python3,ca-certificates "$suite" "$folder/root" \
        ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$folder/log" 2>&1 || { tail -n 5 "$folder/log" >&2; exit 1; }
    # What a container needs nothing of: other languages, manuals, lists of packages.
    tar --create --one-file-system --directory "$folder/root" \
        --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' --exclude='./run/*' --exclude='./tmp/*' \
        --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' --exclude='./usr/share/man/*' \
        --exclude='./usr/share/doc/*' --exclude='./usr/share/locale/*' . |
        "$docker" import --change 'ENV LANG=C.UTF-8' --change 'CMD ["python3"]' - "$prefix/python:3.11" >/dev/null
    rm -rf --one-file-system "$folder"
    trap - EXIT
}

# The base with pip, and with the certificates of this machine. Built every time, since they may have changed: the
# engine's cache knows.
build() {
    base
    say "The same with pip ($prefix/python-build:3.11)"
    context=$(mktemp -d)
    cp "$here/Dockerfile.build" "$context/Dockerfile"
    cat "${PENSTOCK_CA_BUNDLE:-/dev/null}" >"$context/more.pem"
    image "$prefix/python-build:3.11" "$context" "$context/Dockerfile"
    rm -r "$context"
}

postgres() { stand_in postgres:17 postgres; }
redis() { stand_in redis:8 redis; }

kafka() {
    PYTHONPATH="$root/libs/devstack/src" python3 -m penstock.devstack.jars
    context=$(mktemp -d)
    mkdir "$context/libs"
    cp "${PENSTOCK_KAFKA_JARS:-$root/.cache/kafka}"/*.jar "$context/libs/"
    cp "$here/kafka/"* "$context/"
    base
    say "Kafka from Maven's jars ($prefix/kafka)"
    image "$prefix/kafka" "$context" "$context/Dockerfile"
    rm -r "$context"
}

stand_in() {
    base
    say "$2 from Debian ($prefix/$1)"
    image "$prefix/$1" "$here/$2" "$here/$2/Dockerfile"
}

image() {
    DOCKER_BUILDKIT=0 "$docker" build --quiet --build-arg "BASE_IMAGE=$prefix/python:3.11" \
        --tag "$1" --file "$3" "$2" >/dev/null
}

[ "$#" -gt 0 ] || set -- build postgres redis kafka
for part in "$@"; do
    case $part in
        base | build | postgres | redis | kafka) "$part" ;;
        *) echo "There is no part $part" >&2; exit 2 ;;
    esac
done
