# Shell functions for PostgreSQL servers on loopback, of which servers.sh beside this file is made; sourced by it.
#
# A server is a folder: control, data, initdb.log, lock, password, port.
# shellcheck shell=bash

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
    # It refuses to run as root.
    postgres_user=postgres
    id -u "$postgres_user" >/dev/null 2>&1 || postgres_user=nobody
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

# Runs one of PostgreSQL's programs as a user it accepts.
as_postgres() {
    if [ "$(id -u)" -ne 0 ]; then
        "$@"
    elif command -v runuser >/dev/null; then
        (cd / && runuser -u "$postgres_user" -- "$@")
    else
        (cd / && su -s /bin/sh "$postgres_user" -c "exec $(printf '%q ' "$@")")
    fi
}

# Starts a server that is gone at exit; sets $postgres_folder, $postgres_url and $postgres_pid.
new_postgres() {
    new_folder postgres
    postgres_folder=$server_folder
    at_exit postgres_remove "$postgres_folder"
    # In a subshell: what cannot be had ends the tests that need it, not the script.
    (need_postgres && postgres_make "$postgres_folder" && postgres_start "$postgres_folder") || return 1
    find_postgres
    postgres_look "$postgres_folder"
    say "PostgreSQL of $postgres_programs runs on 127.0.0.1:$port in $postgres_folder"
}

# postgres_look FOLDER: what clients of a running one need.
postgres_look() {
    runs_in "$1/data" "$1/data/postmaster.pid" || return 1
    # shellcheck disable=SC2034 # Read by scripts/bench.
    postgres_pid=$server_pid
    port=$(<"$1/port")
    postgres_url="postgres://dispatcher:$(<"$1/password")@127.0.0.1:$port/postgres"
}

# postgres_make FOLDER: an empty cluster with a password of its own.
postgres_make() {
    local folder=$1
    (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$folder/password")
    if [ "$(id -u)" -eq 0 ]; then
        chown -R "$postgres_user" "$folder"
    fi
    as_postgres "$postgres_programs/initdb" --pgdata="$folder/data" --username=dispatcher \
        --pwfile="$folder/password" --auth=scram-sha-256 --encoding=UTF8 --locale=C \
        >"$folder/initdb.log" 2>&1 || die "initdb failed: $(cat "$folder/initdb.log")"
    write_control postgres "$folder"
}

# postgres_start FOLDER: on the port it had before, or on a free one; returns when it answers.
postgres_start() { locked "$1" postgres_start_alone "$1"; }

postgres_start_alone() {
    local folder=$1 try said
    ! runs_in "$folder/data" "$folder/data/postmaster.pid" || return 0
    # Between looking and binding another program may take the port, so failing to start means another try.
    for try in 1 2 3 4 5; do
        if [ -e "$folder/port" ]; then port=$(<"$folder/port"); else free_port; fi
        # Writes are durable as in production (fsync and synchronous_commit stay on), so that what is measured or
        # killed here behaves as it would there. The lock is not for the server to keep.
        if said=$(as_postgres "$postgres_programs/pg_ctl" start --wait --timeout=60 --silent --pgdata="$folder/data" \
            --log="$folder/data/server.log" --options="$(postgres_options "$folder" "$port")" 2>&1 </dev/null 9>&-); then
            printf '%s\n' "$port" >"$folder/port"
            return 0
        fi
        say "PostgreSQL did not start on port $port (try $try)"
        [ ! -e "$folder/port" ] || break
    done
    die "PostgreSQL does not start: $said $(tail -n 20 "$folder/data/server.log" 2>/dev/null)"
}

# postgres_options FOLDER PORT
postgres_options() {
    # Each test has a database and a pool of its own, hence the connections.
    printf -- '-c %s ' listen_addresses=127.0.0.1 port="$2" "unix_socket_directories='$1'" \
        max_connections=200 shared_buffers=256MB max_wal_size=2GB synchronous_commit=on
}

# postgres_stop FOLDER fast|immediate: returns when it is gone.
postgres_stop() { locked "$1" postgres_stop_alone "$@"; }

postgres_stop_alone() {
    runs_in "$1/data" "$1/data/postmaster.pid" || return 0
    as_postgres "$postgres_programs/pg_ctl" stop --mode="$2" --wait --timeout=60 --silent --pgdata="$1/data" \
        >/dev/null 2>&1 </dev/null || die "PostgreSQL in $1 did not stop"
}

# postgres_remove FOLDER: stops it and deletes its data, of which nothing is worth a checkpoint.
postgres_remove() {
    find_postgres
    [ ! -e "$1/lock" ] || (postgres_stop "$1" immediate)
    rm -rf "$1"
}

# postgres_control FOLDER VERB: what the script `control` does.
postgres_control() {
    find_postgres
    case ${2:-} in
        start) postgres_start "$1" ;;
        stop) postgres_stop "$1" fast ;;
        stop-immediate) postgres_stop "$1" immediate ;;
        restart-immediate)
            postgres_stop "$1" immediate
            postgres_start "$1"
            ;;
        *) die "say start, stop, stop-immediate or restart-immediate; the last two as in a crash" ;;
    esac
}
