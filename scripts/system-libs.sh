#!/usr/bin/env bash
# Installs what Python wheels cannot bring on Debian and Ubuntu: venv, Qt's shared libraries, Xvfb.
# Where that is not permitted it says in one line what to install, and goes on.
#   usage: scripts/system-libs.sh PYTHON
set -euo pipefail
[ "$(uname -s)" = Linux ] || exit 0
python=${1:-python3}

# One line for each shared library that PyQt6 and PySide6 load, and the package that has it.
libraries="
libEGL.so.1 libegl1
libGL.so.1 libgl1
libOpenGL.so.0 libopengl0
libX11-xcb.so.1 libx11-xcb1
libdbus-1.so.3 libdbus-1-3
libfontconfig.so.1 libfontconfig1
libglib-2.0.so.0 libglib2.0-0
libgssapi_krb5.so.2 libgssapi-krb5-2
libxcb-cursor.so.0 libxcb-cursor0
libxcb-glx.so.0 libxcb-glx0
libxcb-icccm.so.4 libxcb-icccm4
libxcb-image.so.0 libxcb-image0
libxcb-keysyms.so.1 libxcb-keysyms1
libxcb-randr.so.0 libxcb-randr0
libxcb-render-util.so.0 libxcb-render-util0
libxcb-shape.so.0 libxcb-shape0
libxcb-sync.so.1 libxcb-sync1
libxcb-xfixes.so.0 libxcb-xfixes0
libxcb-xkb.so.1 libxcb-xkb1
libxkbcommon-x11.so.0 libxkbcommon-x11-0
libxkbcommon.so.0 libxkbcommon0
"

missing_libraries() {
  "$python" - "$libraries" <<'PY'
import ctypes
import sys

for line in sys.argv[1].split("\n"):
    if line:
        library, package = line.split()
        try:
            ctypes.CDLL(library)
        except OSError:
            print(package)
PY
}

missing() {
  "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
  missing_libraries
  command -v xvfb-run >/dev/null || echo xvfb
  command -v xauth >/dev/null || echo xauth
  # The software OpenGL driver; one file for each of Mesa's two layouts.
  compgen -G '/usr/lib*/*/dri/swrast_dri.so' >/dev/null ||
    compgen -G '/usr/lib*/*/libgallium*.so' >/dev/null || echo libgl1-mesa-dri
}

packages=$(missing | sort -u | xargs)
[ -n "$packages" ] || exit 0

as_root=
if [ "$(id -u)" != 0 ]; then
  as_root=no
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as_root="sudo -n"; fi
fi
if [ "$as_root" = no ] || ! command -v apt-get >/dev/null; then
  echo "These system packages are missing (Debian and Ubuntu names): $packages" >&2
  exit 0
fi
echo "Installing system packages: $packages" >&2
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # lists of words
{ $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $packages; } >&2 ||
  echo "apt-get failed; these system packages are missing: $packages" >&2
