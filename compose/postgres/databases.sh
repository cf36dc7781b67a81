#!/bin/bash
# Run once, by the image, when the server is new: each service has a database and a user of its own.
set -eu
for pair in gateway:accounts ingestion:documents; do
    user=${pair%%:*} database=${pair##*:}
    psql --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<SQL
CREATE ROLE $user LOGIN PASSWORD '$(cat "/run/secrets/$user-password")';
CREATE DATABASE $database OWNER $user;
REVOKE ALL ON DATABASE $database FROM PUBLIC;
SQL
done
