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
    # A compiler without the headers of the C library is as good as none.
    if ! printf '#include <stdio.h>\nint main(void) { return 0; }\n' | cc -x c -o /dev/null - 2>/dev/null; then
        lacking=1
    fi
    [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] || lacking=1
    if [ "$lacking" -eq 1 ]; then
        need_debian_packages "C parts of SQLite and of the TLS library are compiled here, crates come over TLS" \
            gcc libc6-dev make pkg-config ca-certificates
    fi
    need_rust
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

# Puts the folder of PostgreSQL's server programs into $postgres_programs; empty when there are none.
find_postgres() {
    local folder
    postgres_programs=
    # The newest version comes last.
    for folder in $(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -V); do
        [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && postgres_programs=$folder
    done
    if [ -z "$postgres_programs" ] && command -v initdb >/dev/null && command -v postgres >/dev/null; then
        postgres_programs=$(dirname "$(readlink -f "$(command -v postgres)")")
    fi
}

need_postgres() {
    find_postgres
    [ -z "$postgres_programs" ] || return 0
    # Debian makes and starts a cluster of its own when the server is installed; nobody asked for that one.
    local no_cluster=/etc/postgresql-common/createcluster.d/actiwapi-install.conf
    need_debian_packages "its programs make the server package's settings folder" postgresql-common
    as_root mkdir -p "$(dirname "$no_cluster")"
    printf 'create_main_cluster = false\n' | as_root tee "$no_cluster" >/dev/null
    # In a subshell, so that the file goes even when the installation fails.
    (need_debian_packages "the store runs on PostgreSQL; a throw-away server is started from it" postgresql) || true
    as_root rm -f "$no_cluster"
    find_postgres
    [ -n "$postgres_programs" ] || die "there is no PostgreSQL server to start: no initdb was found"
}

# Runs one of PostgreSQL's programs as a user it accepts: it refuses to run as root.
as_postgres() {
    if [ "$(id -u)" -ne 0 ]; then
        "$@"
    elif command -v runuser >/dev/null; then
        (cd / && runuser -u "$postgres_user" -- "$@")
    else
        (cd / && su -s /bin/sh "$postgres_user" -c "exec $(printf '%q ' "$@")")
    fi
}

# Starts a throw-away PostgreSQL on a free loopback port, exports DATABASE_URL and stops it at exit.
#
# Writes are durable as in production (fsync and synchronous_commit stay on), so that what is
# measured or killed here behaves as it would there.
start_postgres() {
    local password try said
    need_postgres
    postgres_user=postgres
    id -u "$postgres_user" >/dev/null 2>&1 || postgres_user=nobody
    # Not /tmp, which may be memory: a commit has to wait for a disk here as it does in production.
    postgres_folder=$(mktemp -d "${TMPDIR:-/var/tmp}/actiwapi-postgres.XXXXXX")
    at_exit stop_postgres
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    printf '%s\n' "$password" >"$postgres_folder/password"
    if [ "$(id -u)" -eq 0 ]; then
        chown -R "$postgres_user" "$postgres_folder"
    fi
    as_postgres "$postgres_programs/initdb" --pgdata="$postgres_folder/data" --username=dispatcher \
        --pwfile="$postgres_folder/password" --auth=scram-sha-256 --encoding=UTF8 --locale=C \
        >"$postgres_folder/initdb.log" 2>&1 || die "initdb failed: $(cat "$postgres_folder/initdb.log")"
    # Between looking and binding another program may take the port, so failing to start means another try.
    for try in 1 2 3 4 5; do
        free_port
        if said=$(as_postgres "$postgres_programs/pg_ctl" start --wait --timeout=60 --silent \
            --pgdata="$postgres_folder/data" --log="$postgres_folder/data/server.log" --options="$(postgres_options)" \
            2>&1 </dev/null); then
            export DATABASE_URL="postgres://dispatcher:$password@127.0.0.1:$postgres_port/postgres"
            # shellcheck disable=SC2034 # Read by scripts/bench.
            postgres_pid=$(head -n 1 "$postgres_folder/data/postmaster.pid")
            say "PostgreSQL of $postgres_programs runs on 127.0.0.1:$postgres_port in $postgres_folder"
            return 0
        fi
        say "PostgreSQL did not start on port $postgres_port (try $try)"
    done
    die "PostgreSQL does not start: $said $(tail -n 20 "$postgres_folder/data/server.log" 2>/dev/null)"
}

postgres_options() {
    # Each test has a database and a pool of its own, hence the connections.
    printf -- '-c %s ' listen_addresses=127.0.0.1 port="$postgres_port" "unix_socket_directories='$postgres_folder'" \
        max_connections=200 shared_buffers=256MB max_wal_size=2GB synchronous_commit=on
}

# Puts a port that nobody listens on into $postgres_port; below those that the kernel gives to clients.
free_port() {
    while :; do
        postgres_port=$((15000 + RANDOM % 15000))
        (exec 3<>"/dev/tcp/127.0.0.1/$postgres_port") 2>/dev/null || return 0
    done
}

stop_postgres() {
    if [ -e "$postgres_folder/data/postmaster.pid" ]; then
        # Nothing in it is worth keeping, so no checkpoint is waited for.
        as_postgres "$postgres_programs/pg_ctl" stop --mode=immediate --silent --pgdata="$postgres_folder/data" \
            >/dev/null 2>&1 || say "PostgreSQL in $postgres_folder did not stop"
    fi
    rm -rf "$postgres_folder"
}
