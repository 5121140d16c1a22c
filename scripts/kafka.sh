# Shell functions for Kafka brokers on loopback, of which servers.sh beside this file is made; sourced by it.
#
# A broker is a folder: broker.log, control, controller-port, data, lock, name, pid, port, run, server.properties;
# `known` is in it from when clients know its port, `stand-in` when it is not Kafka.
# shellcheck shell=bash

# What stands in for Kafka when asked for by flag, and its exact version; empty for Kafka itself.
kafka_stand_in=
nisshi_version=0.8.1

# Puts the broker's classpath into $kafka_classpath: of KAFKA_HOME, or of jars in the cache, fetched when missing.
need_kafka() {
    need_java
    if [ -n "${KAFKA_HOME:-}" ]; then
        compgen -G "$KAFKA_HOME/libs/kafka_2.1*.jar" >/dev/null || die "KAFKA_HOME holds no Kafka: $KAFKA_HOME/libs"
        kafka_classpath="$KAFKA_HOME/libs/*"
        kafka_version=$(printf '%s\n' "$KAFKA_HOME"/libs/kafka-clients-*.jar | sed -n 's/.*kafka-clients-\(.*\)\.jar/\1/p')
        return 0
    fi
    kafka_version=$(sed -n 's|.*<kafka.version>\(.*\)</kafka.version>.*|\1|p' "$root/scripts/kafka/pom.xml")
    kafka_classpath="$cache/kafka/$kafka_version/*"
    [ -d "$cache/kafka/$kafka_version" ] || fetch_kafka "$cache/kafka/$kafka_version"
}

fetch_kafka() {
    local partial="$1.partial.$$" said='' try
    command -v mvn >/dev/null || need_debian_packages "it fetches the jars of Kafka" maven
    say "fetching the jars of Kafka $kafka_version into $1 (once, 45 MB)"
    mkdir -p "$partial"
    # The second try is for users without a home of their own, where Maven cannot keep its repository.
    for try in '' "-Dmaven.repo.local=$partial/repository"; do
        said=$(mvn --quiet --batch-mode --file "$root/scripts/kafka/pom.xml" ${try:+"$try"} dependency:copy-dependencies \
            -DincludeScope=runtime -DoutputDirectory="$partial/jars" 2>&1 </dev/null) && break
    done
    if [ -e "$partial/jars/kafka_2.13-$kafka_version.jar" ]; then
        mv -T "$partial/jars" "$1"
    fi
    rm -rf "$partial"
    [ -d "$1" ] || die "the jars of Kafka $kafka_version cannot be had: ${said:-Maven left them out}" $'\n' \
        "Set KAFKA_HOME to an unpacked distribution of Kafka, or take the stand-in nisshi with --stand-in: it speaks" \
        "Kafka's protocol without being Kafka, and results carry its name."
}

# Puts a Java that can run the broker into $java.
need_java() {
    local try candidate
    for try in as-it-is installed; do
        for candidate in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java || true)" /usr/lib/jvm/java-17-*/bin/java; do
            if [ -x "$candidate" ] && [ "$(java_major "$candidate")" -ge 17 ]; then
                java=$candidate
                return 0
            fi
        done
        [ "$try" = installed ] || need_debian_packages "Kafka runs on Java 17 or newer" openjdk-17-jre-headless
    done
    die "Java 17 or newer is needed to run Kafka, and there is none"
}

# java_major PROGRAM: its version's first number, 0 when it has none.
java_major() {
    local version
    version=$("$1" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
    printf '%s\n' "${version:-0}"
}

# Puts the path of the stand-in into $nisshi; building it takes half an hour of processor time, once.
need_nisshi() {
    nisshi="$cache/tools/bin/nisshi"
    [ ! -x "$nisshi" ] || return 0
    need_rust
    say "building nisshi $nisshi_version into $cache/tools: a stand-in for Kafka (26 minutes of processor time, once)"
    # It asks for a newer compiler than it needs.
    CARGO_TARGET_DIR="$cache/tools-build" cargo install --quiet --locked --jobs 2 --version "$nisshi_version" \
        --ignore-rust-version --no-default-features --features dynostore,libsql --root "$cache/tools" nisshi >&2 ||
        die "nisshi cannot be built"
    rm -rf "$cache/tools-build"
}

# Starts a broker that is gone at exit; sets $kafka_folder and $kafka_brokers.
new_kafka() {
    new_folder kafka
    kafka_folder=$server_folder
    at_exit kafka_remove "$kafka_folder"
    # In a subshell: what cannot be had ends the tests that need it, not the script.
    (kafka_make "$kafka_folder" && kafka_start "$kafka_folder") || return 1
    kafka_look "$kafka_folder"
    say "$kafka_name runs on $kafka_brokers in $kafka_folder"
}

# kafka_look FOLDER: what clients of a running one need, and its name for people.
kafka_look() {
    runs_in "$1" "$1/pid" || return 1
    # shellcheck disable=SC2034 # Read by scripts/services.
    kafka_pid=$server_pid
    kafka_brokers="127.0.0.1:$(<"$1/port")"
    kafka_name=$(<"$1/name")
    if [ -e "$1/stand-in" ]; then
        export KAFKA_STAND_IN
        KAFKA_STAND_IN=$(<"$1/stand-in")
    fi
}

# kafka_make FOLDER: a broker without topics, or what stands in for it.
kafka_make() {
    local folder=$1 id
    write_control kafka "$folder"
    [ -z "$kafka_stand_in" ] || printf '%s\n' "$kafka_stand_in" >"$folder/stand-in"
    kafka_choose_ports "$folder"
    kafka_equip "$folder"
    [ ! -e "$folder/stand-in" ] || return 0
    # What the storage tool would make up, at the cost of starting it once more. No id begins with a dash.
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n')
    "$java" -Xmx256m -cp "$kafka_classpath" -Dlog4j2.configurationFile="$root/scripts/kafka/log4j2.properties" \
        kafka.tools.StorageTool format --cluster-id "${id/#-/A}" --config "$folder/server.properties" \
        >"$folder/format.log" 2>&1 </dev/null || die "Kafka's storage cannot be formatted: $(tail -n 20 "$folder/format.log")"
}

kafka_choose_ports() {
    free_port
    printf '%s\n' "$port" >"$1/port"
    while [ "$port" = "$(<"$1/port")" ]; do free_port; done
    printf '%s\n' "$port" >"$1/controller-port"
}

# kafka_equip FOLDER: its settings, its name for people, and the script that becomes the broker.
kafka_equip() {
    local folder=$1 address program
    address="tcp://127.0.0.1:$(<"$folder/port")"
    if [ -e "$folder/stand-in" ]; then
        need_nisshi
        printf 'nisshi %s (which is not Kafka)\n' "$nisshi_version" >"$folder/name"
        # Its database's path is relative to where it runs; in memory it would forget all when a test kills it.
        program=("$nisshi" broker --listener-url "$address" --advertised-listener-url "$address"
            --storage-engine sqlite://nisshi.db)
    else
        need_kafka
        printf 'Apache Kafka %s\n' "$kafka_version" >"$folder/name"
        sed "s|@PORT@|$(<"$folder/port")|g; s|@CONTROLLER_PORT@|$(<"$folder/controller-port")|g; s|@DATA@|$folder/data|g" \
            "$root/scripts/kafka/server.properties" >"$folder/server.properties"
        program=("$java" -Xms256m -Xmx768m -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true
            -Dlog4j2.configurationFile="$root/scripts/kafka/log4j2.properties"
            -cp "$kafka_classpath" kafka.Kafka "$folder/server.properties")
    fi
    cat >"$folder/run" <<TEXT
cd $(printf '%q' "$folder")
echo \$\$ >pid
# Whoever waits for the lock finds the process from here on.
exec 9>&-
exec $(printf '%q ' "${program[@]}")
TEXT
}

# kafka_start FOLDER: on the port it had before; returns when it answers.
kafka_start() { locked "$1" kafka_start_alone "$1"; }

kafka_start_alone() {
    local folder=$1 try
    # shellcheck disable=SC2034 # A counter.
    for try in 1 2 3 4 5; do
        if ! runs_in "$folder" "$folder/pid"; then
            rm -f "$folder/pid"
            # In a session of its own, so that what is meant for a test's processes does not reach it.
            setsid bash "$folder/run" >>"$folder/broker.log" 2>&1 </dev/null &
        fi
        if kafka_await "$folder"; then
            : >"$folder/known"
            return 0
        fi
        # Once clients know the port it has to stay.
        if [ -e "$folder/known" ] || ! grep -q 'Address already in use' "$folder/broker.log"; then
            break
        fi
        say "another program took the port of the broker; trying others"
        : >"$folder/broker.log"
        kafka_choose_ports "$folder"
        kafka_equip "$folder"
    done
    die "the broker in $folder did not come up; its log ends with:" $'\n' "$(tail -n 20 "$folder/broker.log")"
}

# Whether the broker of that folder comes up within a minute.
kafka_await() {
    local folder=$1 until=$((SECONDS + 60)) began=$SECONDS
    while [ "$SECONDS" -lt "$until" ]; do
        if runs_in "$folder" "$folder/pid"; then
            ! kafka_answers "$(<"$folder/port")" || return 0
        elif [ -e "$folder/pid" ] || [ $((SECONDS - began)) -gt 5 ]; then
            # A moment passes until its process says its number, but then it has to stay.
            return 1
        fi
        sleep 0.1
    done
    kafka_end "$folder" KILL 10
    return 1
}

# kafka_answers PORT: whether a broker there is ready, which it is when it names itself as the cluster's one broker.
kafka_answers() {
    local said
    # Metadata, version 1, for no topics; the answer has its length, our number, and how many brokers there are.
    said=$({
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        printf '\0\0\0\x0e\0\x03\0\x01\0\0\0\x01\xff\xff\0\0\0\0' >&3
        timeout 2 head -c 12 <&3 | od -An -v -tx1 | tr -d ' \n'
    } 2>/dev/null) || return 1
    [ "${said:16:8}" = 00000001 ]
}

# kafka_stop FOLDER TERM|KILL: asks it to stop, or lets it die; returns when it is gone.
kafka_stop() { locked "$1" kafka_stop_alone "$@"; }

kafka_stop_alone() {
    kafka_end "$1" "$2" 30 || kafka_end "$1" KILL 10 || die "the broker in $1 did not stop"
}

# kafka_end FOLDER SIGNAL SECONDS: whether its process is gone by then.
kafka_end() {
    local until=$((SECONDS + $3))
    runs_in "$1" "$1/pid" || return 0
    kill -s "$2" "$server_pid" 2>/dev/null || true
    while runs_in "$1" "$1/pid"; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.05
    done
}

# kafka_remove FOLDER: ends it and deletes its data.
kafka_remove() {
    [ ! -e "$1/lock" ] || (kafka_stop "$1" KILL)
    rm -rf "$1"
}

# kafka_control FOLDER VERB: what the script `control` does.
kafka_control() {
    case ${2:-} in
        start) kafka_start "$1" ;;
        stop) kafka_stop "$1" TERM ;;
        kill) kafka_stop "$1" KILL ;;
        *) die "say start, stop or kill; the last as in a crash" ;;
    esac
}

# A client of Kafka that is not ours, for the test that sends with one.
need_kcat() {
    command -v kcat >/dev/null || need_debian_packages "a test sends a job with a Kafka client that is not ours" kcat
}
