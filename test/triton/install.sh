#!/bin/sh
# Makes the virtual environment that test/triton runs in: a real Triton server with its Python backend, from the
# nvidia-pytriton wheel (x86-64 Linux), and ONNX Runtime for model.py. Needs Python 3.11 and libpython3.11 (on Debian:
# apt-get install python3.11-venv libpython3.11).
#
#   sh test/triton/install.sh FOLDER
#   TRITON_VENV=FOLDER npx vitest run --project triton
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python3.11 -m venv "$1"
"$1/bin/pip" install --quiet --requirement "$here/requirements.txt"
# Without what the wheel depends on: its Python is not used, only the server inside.
"$1/bin/pip" install --quiet --no-deps nvidia-pytriton==0.7.0
