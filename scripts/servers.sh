# Shell functions that start, stop and break PostgreSQL and Kafka on loopback; sourced after lib.sh, never run.
#
# A server is a folder. All that is needed to stop it and to start it again on the same port lies in there, so that
# whoever knows the folder acts on the same server: the script that made it, scripts/services, and tests through the
# script `control` in it.
# shellcheck shell=bash

# shellcheck source=scripts/postgres.sh
source "$root/scripts/postgres.sh"
# shellcheck source=scripts/kafka.sh
source "$root/scripts/kafka.sh"

# start_postgres: a throw-away PostgreSQL that is gone at exit; exports DATABASE_URL and POSTGRES_CONTROL.
start_postgres() {
    new_postgres || return 1
    export DATABASE_URL=$postgres_url POSTGRES_CONTROL="$postgres_folder/control"
}

# start_kafka: a throw-away broker that is gone at exit; exports KAFKA_BROKERS and KAFKA_CONTROL.
start_kafka() {
    new_kafka || return 1
    export KAFKA_BROKERS=$kafka_brokers KAFKA_CONTROL="$kafka_folder/control"
}

# The same once more, for tests that take a server away while the others run: names begin with CHAOS_.
start_chaos_postgres() {
    new_postgres || return 1
    export CHAOS_DATABASE_URL=$postgres_url CHAOS_POSTGRES_CONTROL="$postgres_folder/control"
}

start_chaos_kafka() {
    new_kafka || return 1
    export CHAOS_KAFKA_BROKERS=$kafka_brokers CHAOS_KAFKA_CONTROL="$kafka_folder/control"
}

# Puts a port that nobody listens on into $port; below those that the kernel gives to clients.
free_port() {
    while :; do
        port=$((15000 + RANDOM % 15000))
        listens "$port" || return 0
    done
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# locked FOLDER COMMAND...: nothing else is done to that server meanwhile.
locked() {
    local folder=$1
    shift
    (
        flock 9
        "$@"
    ) 9>>"$folder/lock"
}

# runs_in FOLDER PID_FILE: whether that process lives; its number goes into $server_pid.
#
# The folder a process runs in tells it from a later one with the same number. One that has ended and that nobody
# has waited for runs nowhere.
runs_in() {
    server_pid=
    if [ -s "$2" ]; then
        read -r server_pid <"$2" || true
    fi
    [ -n "$server_pid" ] && [ "$(readlink "/proc/$server_pid/cwd" 2>/dev/null)" = "$1" ]
}

# Makes a folder for a throw-away server, puts its path into $server_folder.
new_folder() {
    # Not /tmp, which may be memory: a commit has to wait for a disk here as it does in production.
    server_folder=$(readlink -f "$(mktemp -d "${TMPDIR:-/var/tmp}/actiwapi-$1.XXXXXX")")
}

# write_control KIND FOLDER: the script by which tests stop and start the server.
write_control() {
    cat >"$2/control" <<TEXT
#!/usr/bin/env bash
# Stops and starts the server in this folder; without argument it says how. Written by scripts/servers.sh.
set -euo pipefail
source $(printf '%q' "$root/scripts/lib.sh")
source $(printf '%q' "$root/scripts/servers.sh")
$1_control $(printf '%q' "$2") "\$@"
TEXT
    chmod 755 "$2/control"
}
