# Shell functions shared by the scripts beside this file; sourced, never run.
#
# Everything said here goes to standard error: standard output belongs to the programs.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# What is worth keeping between runs lives outside the clone: the compiler's output and cargo-deny.
cache="${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/actiwapi-dispatcher"
exit_commands=()

say() { printf '==> %s\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# at_exit COMMAND...: runs it when the script ends, however it ends; the last one said runs first.
at_exit() {
    if [ ${#exit_commands[@]} -eq 0 ]; then
        trap run_exit_commands EXIT
        trap 'exit 129' HUP
        trap 'exit 130' INT
        trap 'exit 143' TERM
    fi
    exit_commands=("$(printf '%q ' "$@")" "${exit_commands[@]}")
}

run_exit_commands() {
    local status=$? command
    # A subshell that ends on an unset variable runs this too; what is to be undone is not its own.
    [ "$BASHPID" -eq $$ ] || exit "$status"
    trap '' HUP INT TERM
    for command in "${exit_commands[@]}"; do
        eval "$command" || true
    done
    exit "$status"
}

# Runs a command as root: as it is, or through sudo, which may ask only a person.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif ! command -v sudo >/dev/null; then
        die "this needs root and there is no sudo: $*"
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

# need_debian_packages WHY PACKAGE...: installs those that are missing, without questions.
need_debian_packages() {
    local why=$1 package missing=()
    shift
    command -v apt-get >/dev/null || die "install by hand what Debian calls: $* ($why)"
    for package in "$@"; do
        if [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" != installed ]; then
            missing+=("$package")
        fi
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}: $why"
    apt_get update || say "the package lists could not be renewed; trying with those that are there"
    apt_get install --yes --no-install-recommends "${missing[@]}" || die "apt-get could not install ${missing[*]}"
}

apt_get() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" </dev/null >&2
}

# Installs what building needs besides Rust, and checks that Rust is there and new enough.
need_build_tools() {
    local lacking=0 tool
    for tool in make pkg-config; do
        command -v "$tool" >/dev/null || lacking=1
    done
    # A compiler without the headers of the C library is as good as none, and so is a library without its own.
    printf '#include <stdio.h>\nint main(void) { return 0; }\n' | compiles cc c || lacking=1
    printf '#include <string>\nint main() { return std::string().size(); }\n' | compiles c++ c++ || lacking=1
    printf '#include <openssl/ssl.h>\nint main(void) { return !SSL_CTX_new(TLS_method()); }\n' |
        compiles cc c -lssl -lcrypto || lacking=1
    printf '#include <zlib.h>\nint main(void) { return !zlibVersion(); }\n' | compiles cc c -lz || lacking=1
    [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] || lacking=1
    if [ "$lacking" -eq 1 ]; then
        need_debian_packages "C and C++ parts of SQLite, TLS and the Kafka client are compiled here, crates come over TLS" \
            gcc g++ libc6-dev make pkg-config libssl-dev zlib1g-dev ca-certificates
    fi
    need_rust
}

# compiles COMPILER LANGUAGE [LIBRARY...]: whether the program on standard input can be built.
compiles() {
    local compiler=$1 language=$2
    shift 2
    "$compiler" -x "$language" -o /dev/null - "$@" 2>/dev/null
}

need_rust() {
    local wanted found
    if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-${HOME:-}/.cargo}/bin/cargo" ]; then
        PATH="${CARGO_HOME:-${HOME:-}/.cargo}/bin:$PATH"
    fi
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml")
    command -v cargo >/dev/null || die "Rust $wanted or newer is needed and there is no cargo." \
        "Get it from https://rustup.rs, open a new shell and run this again (Debian's own package is too old)."
    found=$(rustc --version | cut -d ' ' -f 2)
    if [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
        die "Rust $wanted or newer is needed and this is $found: run 'rustup update stable'."
    fi
}

# Tells cargo where the compiler's output goes: outside the clone, so that a fresh one builds quickly.
use_target_folder() {
    export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}"
    mkdir -p "$CARGO_TARGET_DIR"
    say "compiler's output: $CARGO_TARGET_DIR"
}

# Builds the binary for real use and puts its path into $dispatcher.
build_release() {
    use_target_folder
    say "building (the first time takes minutes)"
    cargo build --release --locked --manifest-path "$root/Cargo.toml" --bin dispatcher >&2
    # Not every file in scripts/ that reads this one uses it.
    # shellcheck disable=SC2034
    dispatcher="$CARGO_TARGET_DIR/release/dispatcher"
}
