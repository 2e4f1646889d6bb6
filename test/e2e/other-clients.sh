#!/usr/bin/env bash
# Clients that are not ours against a live `npm start`: the Python of docs/use.md as it stands there, and a TypeScript client
# generated from /openapi.json. Needs `npm ci`, Python, and both package indexes.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
port=8795
backend_port=8796
python_packages=(huggingface_hub==2.4.0 requests==2.34.2 openapi-python-client==0.29.1 ruff==0.17.6)
npm_packages=(openapi-typescript@7.13.0 openapi-fetch@0.17.0 typescript@5.9.3)

folder=$(mktemp -d)
end() {
    if [ -n "${service:-}" ]; then kill -TERM "$service" 2>/dev/null || true; wait "$service" || true; fi
    rm -rf "$folder"
}
trap end EXIT
run_quietly() { "$@" > "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }; }

run_quietly python3 -m venv "$folder/venv"
PATH="$folder/venv/bin:$PATH"
printf '%s\n' "${python_packages[@]}" > "$folder/constraints.txt"
export PIP_CONSTRAINT="$folder/constraints.txt" PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_COMPILE=1 PIP_NO_INPUT=1

cd "$repository"
node_modules/.bin/node commands/start.ts --port "$port" --backend-port "$backend_port" > "$folder/start.log" 2>&1 &
service=$!
until grep -q "Ctrl-C stops it" "$folder/start.log"; do
    kill -0 "$service" 2>/dev/null || { cat "$folder/start.log"; exit 1; }
    sleep 0.2
done
export API="http://127.0.0.1:$port"

# Each block of code whose fence says "python" or "sh python", in a file of its own, in order.
mkdir "$folder/work"
cp -r examples "$folder/work"
awk -v folder="$folder/work" '
    /^```/ && inside { inside = 0; close(file); next }
    /^```(python|sh python)$/ { inside = 1; file = sprintf("%s/block-%02d.%s", folder, ++blocks, $0 == "```python" ? "py" : "sh"); next }
    inside { print > file }
' docs/use.md
cd "$folder/work"
# Each program prints the alt text or the caption of the same picture.
expected="a cat"
tried=0
for block in block-*; do
    sed -i "s|http://127.0.0.1:8787|$API|" "$block"
    case $block in
    *.sh) run_quietly bash -euo pipefail "$block" ;;
    *.py)
        said=$(python "$block")
        [ "${said,,}" = "$expected" ] || { cat "$block"; echo "It printed '$said' in place of '$expected'."; exit 1; }
        tried=$((tried + 1))
        ;;
    esac
done
[ "$tried" -eq 3 ] || { echo "docs/use.md has $tried programs in Python; three were expected."; exit 1; }
python -c 'import pkgutil, importlib, alt_text_at_the_edge_client as client
for module in pkgutil.walk_packages(client.__path__, client.__name__ + "."): importlib.import_module(module.name)'
for package in "${python_packages[@]:0:3}" "${npm_packages[@]:0:2}"; do
    named=$(sed -E 's/(==|@)/ /' <<< "$package")
    grep -qF "$named" "$repository/docs/use.md" || { echo "docs/use.md does not say that $named was tried."; exit 1; }
done

mkdir "$folder/typescript"
cd "$folder/typescript"
echo '{"private": true, "type": "module"}' > package.json
run_quietly npm install --no-audit --no-fund "${npm_packages[@]}"
run_quietly npx openapi-typescript "$API/openapi.json" --output api.ts
cat > use.ts << 'TYPESCRIPT'
import { openAsBlob } from "node:fs";
import createClient from "openapi-fetch";
import type { paths } from "./api.ts";

const client = createClient<paths>({ baseUrl: process.env.API ?? "" });
const { data, error } = await client.POST("/v1/captions", {
  params: { query: { max_length: 60 } },
  headers: { "content-type": "application/octet-stream" },
  body: await openAsBlob(`${process.env.REPOSITORY}/examples/cat.jpg`),
  bodySerializer: (body) => body as Blob,
});
console.log(data ? data.alt : error.detail);
TYPESCRIPT
run_quietly npx tsc --noEmit --strict --skipLibCheck --module nodenext --target es2024 --allowImportingTsExtensions \
    --types node --typeRoots "$repository/node_modules/@types" use.ts
said=$(REPOSITORY=$repository "$repository/node_modules/.bin/node" use.ts)
[ "${said,,}" = "$expected" ] || { echo "The TypeScript client said '$said' in place of '$expected'."; exit 1; }

echo "requests, huggingface_hub and the clients generated in Python and TypeScript caption a picture."
