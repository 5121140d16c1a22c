# Shell functions for the programs of Prometheus; sourced, never run.
# shellcheck shell=bash

# Puts the folder of promtool and prometheus into $prometheus_programs. Debian's package is unpacked and not installed:
# installed it would start a server of its own on the port that our admin port has.
need_prometheus() {
    local program partial
    if program=$(command -v promtool) && command -v prometheus >/dev/null; then
        prometheus_programs=$(dirname "$program")
        return 0
    fi
    prometheus_programs="$cache/prometheus/usr/bin"
    [ ! -x "$prometheus_programs/promtool" ] || return 0
    command -v apt-get >/dev/null || die "install prometheus and promtool: they check rules and alerts"
    say "unpacking Debian's Prometheus into $cache/prometheus: it checks rules and alerts (once)"
    partial="$cache/prometheus.partial.$$"
    rm -rf "$partial"
    mkdir -p "$partial"
    apt_get update || say "the package lists could not be renewed; trying with those that are there"
    # Later releases of Debian have promtool in a package of its own.
    (cd "$partial" && apt-get -qq download prometheus >&2 && { apt-get -qq download promtool >&2 2>/dev/null || true; } &&
        for package in *.deb; do dpkg -x "$package" . && rm "$package"; done) ||
        die "Debian's package prometheus can not be had"
    rm -rf "$cache/prometheus"
    mv -T "$partial" "$cache/prometheus"
}
