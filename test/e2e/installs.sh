#!/usr/bin/env bash
# The newcomer's first minutes of fresh-clone.sh, with each npm and each Node that somebody may have installed. Both come from
# npm's registry. Linux only. Usage: test/e2e/installs.sh [NODE:NPM ...]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# npm 12 refuses Node 20. npm 11.0.0 is the first npm 11.
[ $# -gt 0 ] || set -- 20:10 20:11.0.0 20:11 22:10 22:11 22:12 24:10 24:11 24:12

tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
architecture=$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')
failed=0
for pair in "$@"; do
    node=${pair%:*} npm=${pair#*:}
    npm install --silent --no-save --prefix "$tools/node-$node" "node-linux-$architecture@$node"
    npm install --silent --no-save --prefix "$tools/npm-$npm" "npm@$npm"
    path="$tools/node-$node/node_modules/.bin:$tools/npm-$npm/node_modules/.bin:$PATH"
    name="Node $(PATH=$path node --version), npm $(PATH=$path npm --version)"
    if PATH=$path "$here/fresh-clone.sh" > "$tools/log" 2>&1; then
        echo "$name: npm ci, npm start and npm run -s caption work without a warning of ours"
    else
        echo "$name: FAILED"
        sed 's/^/    /' "$tools/log"
        failed=1
    fi
done
exit $failed
