#!/bin/sh
# Starts the image's service, or the command that is given.
#
# A file /run/secrets/PENSTOCK_X gives the setting PENSTOCK_X, unless the environment does: so passwords stand
# neither in a compose file nor in what the engine shows of a container.
set -eu
for file in /run/secrets/PENSTOCK_*; do
    [ -f "$file" ] || continue
    name=${file##*/}
    if eval "[ -z \"\${$name:-}\" ]"; then
        export "$name=$(cat "$file")"
    fi
done
[ "$#" -gt 0 ] || set -- "$PENSTOCK_IMAGE_COMMAND"
exec "$@"
