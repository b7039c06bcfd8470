#!/bin/sh
# Usage: sh deploy/new_env.sh [FILE]
# Writes FILE (.env), readable by its owner only: .env.example with random passwords and keys where it has none.
set -eu
umask 077
file=${1:-.env}
example=$(dirname "$0")/../.env.example

if [ -e "$file" ]; then
    echo "$file is there already; nothing was changed." >&2
    exit 1
fi

random() { # of 32 bytes: as a Fernet key, or in hexadecimal digits
    case $1 in
        *_FERNET_KEY) head -c 32 /dev/urandom | base64 | tr '+/' '-_' ;;
        *) od -An -v -tx1 -N 32 /dev/urandom | tr -d ' \n' ;;
    esac
}

while IFS= read -r line; do
    case $line in
        \#*) ;;
        *_PASSWORD= | *_KEY= | *_SECRET=) line=$line$(random "${line%=}") ;;
    esac
    printf '%s\n' "$line"
done < "$example" > "$file.unfinished"
mv "$file.unfinished" "$file"
echo "$file is made. Keep a copy in a safe place."
