#!/bin/sh
# Installs ffmpeg with the system's package manager, or says what to do.
set -eu
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else return 1; fi; }
if command -v apt-get >/dev/null; then
    as_root apt-get update -qq && as_root apt-get install -y -qq ffmpeg >/dev/null && exit 0
elif command -v dnf >/dev/null; then
    as_root dnf install -y -q ffmpeg-free && exit 0
elif command -v pacman >/dev/null; then
    as_root pacman -S --noconfirm ffmpeg && exit 0
elif command -v brew >/dev/null; then
    brew install ffmpeg && exit 0
fi
echo "ffmpeg is missing and could not be installed: install the package 'ffmpeg' (it brings ffprobe) and try again" >&2
exit 1
