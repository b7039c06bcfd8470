#!/bin/sh
# Usage: sh local/install.sh <requirements.txt>
# Makes .venv in the repository and installs the pinned packages into it. Does nothing when that was done already.
set -eu

UV='uv==0.13.9'
cd "$(dirname "$0")/.."
requirements=$1
venv=.venv
export PIP_REQUIRE_VIRTUALENV=1 # whatever goes wrong here, the machine's own Python stays as it is
stamp=$venv/.ready-$(basename "$requirements" .txt)

# Two makes at once take turns; the lock is this file, so that nothing is left lying about.
exec 9< local/install.sh
if command -v flock > /dev/null; then flock 9; fi

wanted=$(sha256sum < "$requirements")
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && "$venv/bin/python" -c '' 2> /dev/null; then
    exit 0
fi

fits() { # A name may exist and not run, such as a shim of pyenv's; so ask the program itself.
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' > /dev/null 2>&1
}

is_whole() { # An interrupted or failed `python -m venv` leaves no pip, or a mere link to the machine's own Python.
    fits "$venv/bin/python" \
        && "$venv/bin/python" -c 'import sys; sys.exit(sys.prefix == sys.base_prefix)' \
        && "$venv/bin/python" -m pip --version > /dev/null 2>&1
}

step() {
    printf '%s ... ' "$1"
    began=$(date +%s)
}

took() {
    printf '%s s\n' "$(($(date +%s) - began))"
}

find_python() {
    for candidate in python3.13 python3.12 python3.11 python3; do
        if fits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo 'Python 3.11, 3.12 or 3.13 is needed, and none was found: install one, for instance by' \
        '`apt-get install python3 python3-venv`.' >&2
    exit 1
}

install_venv_package() { # Debian and Ubuntu keep ensurepip in a package of its own, named for Python's version.
    package=$("$1" -c 'import sys; print("python{}.{}-venv".format(*sys.version_info))')
    if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
        printf '\n%s cannot make virtual environments here: run `sudo apt-get install -y %s`, then this again.\n' \
            "$1" "$package" >&2
        exit 1
    fi
    printf 'installing %s ... ' "$package"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq "$package" > /dev/null 2>&1 \
        || { apt-get update -qq && apt-get install -y -qq "$package"; } > /dev/null 2>&1 \
        || apt-get install -y -qq python3-venv > /dev/null 2>&1 \
        || { printf '\n`apt-get install -y %s` failed: run it to see why.\n' "$package" >&2; exit 1; }
}

setting() { # One setting of pip's, whether from its files or from the environment; several values in one line.
    "$venv/bin/python" -m pip config list 2> /dev/null \
        | sed -n "s/^[^=]*\.$1='\(.*\)'\$/\1/p" | tail -n 1 | sed 's/\\n/ /g'
}

use_pips_indexes() { # uv does not read pip.conf, where a company's mirror and certificates may be named.
    for pair in index-url:UV_DEFAULT_INDEX extra-index-url:UV_INDEX find-links:UV_FIND_LINKS cert:SSL_CERT_FILE; do
        value=$(setting "${pair%%:*}")
        if [ -n "$value" ] && [ -z "$(printenv "${pair#*:}")" ]; then export "${pair#*:}=$value"; fi
    done
    export UV_INDEX_STRATEGY=unsafe-best-match # as pip does: the best version of all indexes
}

whole_began=$(date +%s)
if ! is_whole; then
    python=$(find_python)
    step "Making $venv with $("$python" -V)"
    rm -rf "$venv"
    "$python" -m venv "$venv" > /dev/null 2>&1 || true
    if ! is_whole; then
        install_venv_package "$python"
        rm -rf "$venv"
        "$python" -m venv "$venv" > /dev/null
    fi
    took
fi

rm -f "$stamp" # written last: what is interrupted from here on does not look ready
packages=$(grep -c '==' "$requirements")
step "Installing $packages packages of $requirements"
log=$venv/install.log
python=$venv/bin/python
if "$python" -m pip install -q --disable-pip-version-check "$UV" > "$log" 2>&1 \
    && (use_pips_indexes && "$python" -m uv pip install -q --compile-bytecode --python "$python" -r "$requirements") \
        >> "$log" 2>&1; then
    took
else
    printf 'uv could not, trying pip ... '
    if "$python" -m pip install -q --disable-pip-version-check -r "$requirements" >> "$log" 2>&1; then
        took
    else
        printf 'failed; %s says:\n' "$log" >&2
        tail -n 20 "$log" >&2
        exit 1
    fi
fi
printf '%s\n' "$wanted" > "$stamp"
printf '%s\n' "$(($(date +%s) - whole_began))" > "$venv/.install-seconds"
