#!/bin/sh
# The compose stack of this checkout:
#   compose/stack.sh up          build the images, start everything, wait until it is ready
#   compose/stack.sh down        stop it, and remove its containers, networks and volumes (KEEP=1: not the volumes)
#   compose/stack.sh ps|logs|…   any other command of compose
# BUILD=0: `up` takes the images as they are. OFFLINE=1: with stand-ins for the images of others, where no registry of
# images can be reached. PENSTOCK_COMPOSE_FILES: more files of compose, with colons between; WAIT: seconds that `up` waits
# (300). With PENSTOCK_REGISTRY set (environment or compose/.env) ours are pulled from there, not built.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$here")
docker=${DOCKER:-docker}
own=$root/.cache/bin/docker-compose
environment=${PENSTOCK_ENV_FILE:-$here/.env}

[ "$#" -gt 0 ] || { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2; }
command -v "$docker" >/dev/null || { echo "There is no Docker here: install it, or name another command in DOCKER" >&2; exit 2; }
"$docker" info >/dev/null 2>&1 || { echo "No Docker engine answers: start one (\`$docker info\` says why)" >&2; exit 2; }

[ -f "$environment" ] || cp "$here/.env.example" "$environment"

# A setting's value, from the environment or else from compose/.env.
setting() {
    eval "value=\${$1:-}"
    [ -n "$value" ] || value=$(sed -n "s/^$1=//p" "$environment" | tail -n 1)
    printf '%s' "$value"
}

secrets=$(setting PENSTOCK_SECRETS)
case ${secrets:=$here/secrets} in
    /*) ;;
    *) secrets=$here/$secrets ;;
esac
export PENSTOCK_SECRETS="$secrets"
"$here/secrets.sh"

version=$(setting PENSTOCK_VERSION)
export PENSTOCK_VERSION="${version:-$(sed -n '/^version = /{s/[^"]*"\([^"]*\)".*/\1/p;q;}' "$root/pyproject.toml")}"

files="-f $here/compose.yaml"
OFFLINE=${OFFLINE:-0}
[ "$OFFLINE" = 0 ] || files="$files -f $here/offline/compose.offline.yaml"
for file in $(printf '%s' "${PENSTOCK_COMPOSE_FILES:-}" | tr ':' ' '); do
    files="$files -f $file"
done

compose() {
    if "$docker" compose version >/dev/null 2>&1; then
        # shellcheck disable=SC2086  # two words for each file
        "$docker" compose --env-file "$environment" $files "$@"
    else
        "$here/offline/get-compose.sh" "$own"
        # shellcheck disable=SC2086
        "$own" --env-file "$environment" $files "$@"
    fi
}

images() {
    [ "${BUILD:-1}" != 0 ] && [ -z "$(setting PENSTOCK_REGISTRY)" ] || return 0
    if [ "$OFFLINE" != 0 ]; then
        "$here/offline/build.sh"
        export PENSTOCK_BASE_IMAGE="${PENSTOCK_BASE_IMAGE:-penstock-offline/python:3.11}"
        export PENSTOCK_BUILD_IMAGE="${PENSTOCK_BUILD_IMAGE:-penstock-offline/python-build:3.11}"
        export DOCKER_BUILDKIT=0
    fi
    python3 "$root/infra/images/build.py"
}

# What may help after a failure: $1 with images of a registry, $2 with stand-ins.
advice() { if [ "$OFFLINE" = 0 ]; then printf %s "$1"; else printf %s "$2"; fi; }
no_registry=' Without a registry of images: OFFLINE=1'

case $1 in
    up)
        shift
        case ,$(setting COMPOSE_PROFILES), in *,vllm,*)
            echo "There is no profile vllm any more: no service speaks vLLM's API yet. Change COMPOSE_PROFILES" >&2
            exit 2
        esac
        images || {
            certificates=' If a download fails for its certificate: name yours in PENSTOCK_CA_BUNDLE'
            echo "The images could not be built.$(advice "$no_registry" "$certificates")" >&2
            exit 1
        }
        compose up --detach --wait --wait-timeout "${WAIT:-300}" --remove-orphans "$@" || {
            echo "The stack did not come up: \`compose/stack.sh ps\` and \`logs\` say more.$(advice "$no_registry" "")" >&2
            exit 1
        }
        echo "API and console  http://$(compose port gateway 8080)/"
        echo "Key              $secrets/api-key"
        ;;
    down)
        shift
        # Whatever was started, with or without stand-ins.
        files="$files -f $here/offline/compose.offline.yaml"
        [ "${KEEP:-0}" != 0 ] || set -- --volumes "$@"
        compose --profile '*' down --remove-orphans "$@"
        ;;
    *) compose "$@" ;;
esac
