#!/bin/sh
# Makes what is missing of the passwords and keys that compose.yaml hands to the containers, in compose/secrets/.
# Nothing that is there is changed: delete a file to have it made anew (a database keeps its old password, though).
#
# The folder is for its owner alone (700). The files in it are readable (444), since each container's own user must read
# those that are mounted into it, and compose mounts files as they are.
set -eu
folder=${PENSTOCK_SECRETS:-$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)/secrets}
umask 077
mkdir -p "$folder"
chmod 700 "$folder"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
# Written aside and renamed: nobody finds half of one.
keep() {
    [ -s "$folder/$1" ] && return
    printf '%s\n' "$2" >"$folder/.$1.new"
    chmod 444 "$folder/.$1.new"
    mv "$folder/.$1.new" "$folder/$1"
}
kept() { cat "$folder/$1"; }

keep postgres-password "$(random)"
keep gateway-password "$(random)"
keep ingestion-password "$(random)"
keep redis-password "$(random)"
keep qdrant-key "$(random)"
keep observer-key "$(random)"
keep grafana-password "$(random)"
# 43 characters of base64url, as the gateway makes them itself.
keep api-key "psk-$(head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n')"

# What a program reads must have its form; the password is that of above.
keep accounts-db "postgresql://gateway:$(kept gateway-password)@postgres/accounts"
keep documents-db "postgresql://ingestion:$(kept ingestion-password)@postgres/documents"
keep celery-broker "redis://:$(kept redis-password)@redis:6379/0"
keep redis.conf "requirepass $(kept redis-password)"
keep qdrant.yaml "service: {api_key: $(kept qdrant-key)}"
