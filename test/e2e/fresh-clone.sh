#!/usr/bin/env bash
# A newcomer's first minutes: a clone in an empty folder, nothing of this shell but its PATH, `npm ci && npm start`, a caption,
# an end that leaves nothing running, and a caption without a server.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
port=8797
backend_port=8798

# Which registry and which cache npm uses, and how it gets there, is this machine's own matter.
clean=(env -i "PATH=$PATH" "HOME=$folder/home" "npm_config_userconfig=$(npm config get userconfig)" "npm_config_cache=$(npm config get cache)")
for name in NODE_EXTRA_CA_CERTS SSL_CERT_FILE HTTPS_PROXY https_proxy NO_PROXY no_proxy; do
    if [ -n "${!name:-}" ]; then clean+=("$name=${!name}"); fi
done
end() {
    if [ -n "${service:-}" ]; then kill -TERM "$service" 2>/dev/null || true; wait "$service" || true; fi
    rm -rf "$folder"
}
trap end EXIT

git clone --quiet "$repository" "$folder/clone"
mkdir "$folder/home"
cd "$folder/clone"
"${clean[@]}" npm ci > "$folder/install.log" 2>&1 || { cat "$folder/install.log"; exit 1; }
# What other packages ask of Node is theirs to say, and what this machine's own settings are; what is ours must go without a word.
warns() { grep -E "npm warn" "$1" | grep -vE "EBADENGINE|Unknown user config"; }
if warns "$folder/install.log"; then echo "npm ci warns"; exit 1; fi

"${clean[@]}" npm start -- --port "$port" --backend-port "$backend_port" > "$folder/start.log" 2>&1 &
service=$!
until grep -q "Ctrl-C stops it" "$folder/start.log"; do
    kill -0 "$service" 2>/dev/null || { cat "$folder/start.log"; exit 1; }
    sleep 0.2
done
curl -sS --fail --data-binary @examples/cat.jpg "http://127.0.0.1:$port/v1/captions" | grep -E '"alt":"[A-Z]'

kill -TERM "$service"
for _ in $(seq 600); do
    if ! curl -s "http://127.0.0.1:$port/healthz" > /dev/null && ! curl -s "http://127.0.0.1:$backend_port/healthz" > /dev/null; then
        service=
        break
    fi
    sleep 0.1
done
if [ -n "$service" ]; then echo "It still answers after it was ended."; exit 1; fi
if warns "$folder/start.log"; then echo "npm start warns"; exit 1; fi

"${clean[@]}" npm run -s caption -- examples/cat.jpg 2> "$folder/caption.log" | grep -P '^examples/cat.jpg\t[A-Z]'
if warns "$folder/caption.log"; then echo "npm run -s caption warns"; exit 1; fi
echo "A fresh clone installs, captions, and ends."
