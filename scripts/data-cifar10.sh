#!/bin/sh
# Unpacks CIFAR-10 as image files for `source = "image-folder"`, once. Safe to run again, and after
# an interruption.
#
# usage: scripts/data-cifar10.sh ARCHIVE [FOLDER]     FOLDER is data/cifar10 unless told
#
# ARCHIVE is a tar file, compressed or not, with train/<class>/*.jpg|jpeg|png and test/<class>/* in it.
set -eu

# JPEG files, 10 x 5,000 to train on and 10 x 1,000 to test on.
known=caee4964ee157074cd166f19fc57801edbb2493096149057c636738291eee788

say() { echo "data-cifar10: $*" >&2; }
fail() { say "$*"; exit 2; }

sha256_of() {
    if command -v sha256sum >/dev/null 2>&1; then
        sha256sum <"$1"
    else
        shasum -a 256 <"$1"
    fi | cut -d ' ' -f 1
}

count() { find "$1" -mindepth 2 -maxdepth 2 -type f | wc -l | tr -d ' '; }

archive=${1:-}
folder=${2:-$(dirname "$0")/../data/cifar10}
[ -n "$archive" ] || fail "which archive? make data-cifar10 FROM=path/to/cifar10-jpeg.tar.gz"
[ -f "$archive" ] || fail "no file \`$archive\`"

sha256=$(sha256_of "$archive")
if [ "$sha256" = "$known" ]; then
    say "the known archive: sha256 is right"
else
    say "another archive than the known one (sha256 $sha256, not $known)"
fi

# Written last, so that a folder with it is whole; hidden, so that it is no class.
stamp=.archive-sha256
if [ -f "$folder/$stamp" ] && [ "$(cat "$folder/$stamp")" = "$sha256" ]; then
    say "already unpacked in $folder"
    exit 0
fi
[ ! -e "$folder" ] || fail "$folder is there already, and not from this archive; move it away first"

partial=$folder.partial
rm -rf "$partial"
mkdir -p "$partial"
trap 'rm -rf "$partial"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
tar -xof "$archive" -C "$partial" || fail "cannot unpack \`$archive\`: not a whole tar archive, or no space left"
for part in train test; do
    [ -d "$partial/$part" ] || fail "\`$archive\` has no folder $part/ at its top; it needs train/<class>/ and test/<class>/"
    [ "$(count "$partial/$part")" -gt 0 ] || fail "\`$archive\` has no files below $part/<class>/"
done
echo "$sha256" >"$partial/$stamp"
mv "$partial" "$folder"
say "$(count "$folder/train") files to train on and $(count "$folder/test") to test on, in $folder"
