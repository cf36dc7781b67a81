#!/bin/sh
# Makes the cluster in PGDATA if there is none, runs the scripts that come with it once, and becomes the server.
set -eu
user=${POSTGRES_USER:-postgres}
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username="$user" --pwfile="$POSTGRES_PASSWORD_FILE" --auth-local=trust --auth-host=scram-sha-256 \
        --encoding=UTF8 --locale=C.UTF-8 >/dev/null
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    # Without TCP, so that nobody takes it for ready.
    pg_ctl --wait --silent start --options="-c listen_addresses=''"
    [ "${POSTGRES_DB:-$user}" = postgres ] || createdb --username="$user" "${POSTGRES_DB:-$user}"
    for script in /docker-entrypoint-initdb.d/*; do
        case $script in
            *.sh) . "$script" ;;
            *.sql) psql --quiet --set ON_ERROR_STOP=1 --username="$user" "${POSTGRES_DB:-$user}" --file="$script" ;;
        esac
    done
    pg_ctl --wait --silent --mode=fast stop
fi
exec "$@" -c listen_addresses='*'
