#!/usr/bin/env bash
# Makes .venv and installs Calco in it with the extra that is named: `all` for use, `docs` for the documentation, `dev` for the checks.
# Installs Debian packages that are missing when it may, otherwise says which. Leaves a stamp for make.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
extra="${1:?which extra: all, docs or dev}"
venv=.venv

say() { printf 'setup: %s\n' "$*" >&2; }

# Debian packages, if this machine has apt-get and we may use it. Fails otherwise.
debian_install() {
    local as_root=()
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n)
    fi
    say "installing $* with apt-get"
    "${as_root[@]}" apt-get update -qq || return 1
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# The versions for which the pinned torch has wheels.
fits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1; }

find_python() {
    local name
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if command -v "$name" >/dev/null && fits "$name"; then
            printf '%s\n' "$name"
            return
        fi
    done
    return 1
}

# Debian ships venv without its pip (ensurepip) in a package of its own.
can_make_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

make_venv() {
    local python version
    if ! python=$(find_python); then
        debian_install python3 python3-venv || true
        python=$(find_python) || { say "no Python from 3.11 to 3.14 found; install one (Debian: apt-get install python3 python3-venv)"; exit 1; }
    fi
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if ! can_make_venv "$python"; then
        debian_install "python$version-venv" || true
        can_make_venv "$python" || { say "$python cannot make a virtual environment; apt-get install python$version-venv"; exit 1; }
    fi
    say "making $venv with $python ($version)"
    "$python" -m venv --clear "$venv"
}

install_calco() {
    local pip=("$venv/bin/python" -m pip --disable-pip-version-check install --constraint constraints.txt)
    [ -t 1 ] || pip+=(--quiet) # a person wants to see that it moves, a log does not
    say "installing torch, then calco[$extra]; the first time this takes minutes"
    "${pip[@]}" torch # first, and held by the constraint: see constraints.txt
    "${pip[@]}" --editable ".[$extra]"
}

# The report's test opens it in a browser, driven by playwright, whose own node wants libatomic; that of live images opens
# a window with Tk on an X server without a screen; that of completions types in zsh and fish. Without them these tests are skipped, and say so.
programs_for_tests() {
    local missing=()
    command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
    command -v Xvfb >/dev/null || missing+=(xvfb)
    command -v zsh >/dev/null || missing+=(zsh)
    command -v fish >/dev/null || missing+=(fish)
    "$venv/bin/python" -c 'import tkinter' 2>/dev/null || missing+=(python3-tk)
    /sbin/ldconfig -p | grep -q 'libatomic\.so\.1' || missing+=(libatomic1)
    [ "${#missing[@]}" -eq 0 ] || debian_install "${missing[@]}" ||
        say "no ${missing[*]}: the tests that need them cannot run; apt-get install ${missing[*]}"
}

# Real servers of MariaDB and PostgreSQL, and the driver of MariaDB, which pip builds; without them their tests are skipped.
# Java for Spark.
databases_for_tests() {
    local missing=()
    { command -v mariadbd || [ -x /usr/sbin/mariadbd ]; } >/dev/null || missing+=(mariadb-server)
    command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing+=(postgresql)
    command -v java >/dev/null || missing+=(default-jre-headless)
    if ! "$venv/bin/python" -c 'import MySQLdb' 2>/dev/null; then
        debian_install libmariadb-dev pkg-config gcc python3-dev ||
            say "no headers of MariaDB; apt-get install libmariadb-dev pkg-config gcc python3-dev"
        "$venv/bin/python" -m pip --disable-pip-version-check install --quiet --constraint constraints.txt \
            --editable ".[mariadb]" || say "mysqlclient cannot be built: the tests of MariaDB cannot run"
    fi
    [ "${#missing[@]}" -eq 0 ] || debian_install "${missing[@]}" ||
        say "no ${missing[*]}: the tests that need them cannot run; apt-get install ${missing[*]}"
}

# The page of docs/export.md runs ONNX Runtime in a browser: three files of the package onnxruntime-web.
web_for_tests() {
    local version=1.22.0 room=$venv/onnxruntime-web
    [ ! -f "$room/ort.wasm.min.js" ] || return 0
    command -v npm >/dev/null || debian_install npm || { say "no npm: the page of docs/export.md cannot be tested; apt-get install npm"; return 0; }
    local archive=$venv/onnxruntime-web-$version.tgz
    if npm pack --silent --pack-destination "$venv" "onnxruntime-web@$version" >/dev/null; then
        mkdir -p "$room"
        tar -xzf "$archive" -C "$room" --strip-components=2 package/dist/ort-wasm-simd-threaded.mjs \
            package/dist/ort-wasm-simd-threaded.wasm package/dist/ort.wasm.min.js
        rm -f "$archive"
    else
        say "onnxruntime-web cannot be fetched: the page of docs/export.md cannot be tested"
    fi
}

[ -x "$venv/bin/python" ] && fits "$venv/bin/python" || make_venv
install_calco
if [ "$extra" = dev ]; then
    programs_for_tests
    databases_for_tests
    web_for_tests
    touch "$venv/.ready-docs" # dev holds docs
fi
if [ "$extra" != all ]; then
    touch "$venv/.ready-all" # dev and docs hold all
fi
touch "$venv/.ready-$extra"
