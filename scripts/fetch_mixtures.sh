#!/bin/sh
# Fetches Debian packages that hold music and unpacks, without installing, what
# `separate data mixtures` reads: audio, archives of audio and the copyright files.
# Usage: scripts/fetch_mixtures.sh FOLDER [PACKAGE...]    (a folder outside the checkout)
set -eu
if [ $# = 0 ]; then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi
mkdir -p "$1"
folder=$(realpath "$1")
shift
if [ $# = 0 ]; then
    set -- drascula-music warzone2100-music planetblupi-music-ogg wesnoth-1.16-music \
        singularity-music hyperrogue-music asc-music ufoai-music nexuiz-music supertuxkart-data \
        naev-data megaglest-data hedgewars-data freedroidrpg-data unknown-horizons supertux-data \
        lincity-ng-data endless-sky-data flare-game colobot-common-sounds lugaru-data \
        widelands-data redeclipse-data 0ad-data
fi
failed=
for package in "$@"; do
    [ -e "$folder/$package/.complete" ] && continue
    work="$folder/.unpacking"
    rm -rf "$work" "${folder:?}/$package"
    mkdir -p "$work/deb" "$work/all"
    if ! (cd "$work/deb" && apt-get download -qq "$package") ||
        ! dpkg-deb -x "$work"/deb/*.deb "$work/all"; then
        echo "$package: could not be fetched; run apt-get update, or name other packages" >&2
        failed=yes
        continue
    fi
    (cd "$work/all" && find . -type f \( -path '*/doc/*/copyright*' -o -iname '*license*' \
        -o -iname '*licence*' -o -iname '*copying*' -o -iname '*credits*' \
        -o -iname '*.ogg' -o -iname '*.oga' -o -iname '*.opus' -o -iname '*.mp3' \
        -o -iname '*.flac' -o -iname '*.wav' -o -iname '*.mod' -o -iname '*.xm' \
        -o -iname '*.it' -o -iname '*.s3m' -o -iname '*.zip' -o -iname '*.pk3' \
        -o -iname '*.pk4' \) -exec cp --parents -t "$work/deb" {} +)
    rm -f "$work"/deb/*.deb
    mv "$work/deb" "$folder/$package"
    touch "$folder/$package/.complete"
    echo "$package: $(du -sh "$folder/$package" | cut -f1)"
done
rm -rf "$folder/.unpacking"
[ -z "$failed" ]
