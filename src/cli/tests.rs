//! The command line from outside: what it teaches, and what it refuses.

use clap::CommandFactory;

use super::*;

fn help_of(arguments: &[&str]) -> String {
    let command = Cli::command().term_width(100);
    let answer =
        command.try_get_matches_from([&["dispatcher"], arguments].concat()).expect_err("help is not a command");
    answer.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn help_teaches() {
    insta::assert_snapshot!(help_of(&["--help"]), @r#"
    Dispatches WhatsApp bulk campaigns: every message paced, recorded before it leaves, and accounted
    for.

    `serve` is the daemon with its REST front. Everything else helps to run it, to try it out without a
    provider, or to measure it.

    Usage: dispatcher <COMMAND>

    Commands:
      serve           Runs the daemon: REST front, intake, lanes, receipts, and the admin port
      simulate        Runs a simulated provider that speaks Meta's Cloud API and keeps a ledger of what
                      arrives
      demo            Runs a whole campaign on this machine and checks every promise against the
                      provider's ledger
      bench           Measures sends per second and processor time per 1,000 messages
      submit          Brings a file of recipients or of jobs to the job topic
      dead-letters    Lists, shows and replays records of the job topic that could not be read or
                      admitted
      doctor          Checks everything that the daemon needs, and says what to do
      migrate         Brings the schema of the configured database up to date
      grant-operator  Lets an account see the operations of the platform, or takes that back
      check-config    Prints the settings that come out of defaults, files and environment, or every
                      mistake in them
      openapi         Prints the OpenAPI document of the REST front
      asyncapi        Prints the AsyncAPI document of the Kafka topics
      metrics         Prints all metrics with their labels and what they are, as a page in Markdown
      completions     Prints the completions of a shell; for bash: `source <(dispatcher completions
                      bash)`
      man             Prints the page of the manual for the whole program, or writes one for each
                      command into a folder
      probe           Asks the daemon on this machine whether it lives, or with --ready whether it takes
                      requests and sends
      help            Print this message or the help of the given subcommand(s)

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Examples:
      dispatcher demo                            a whole campaign against a simulated provider
      dispatcher demo --serve                    the same, and stays up to be tried out with curl
      dispatcher serve --config dispatcher.toml  the daemon
      dispatcher check-config dispatcher.toml    every mistake in the settings at once
      DISPATCHER__STORE__URL=postgres://ana@db/dispatcher dispatcher migrate

    Exit codes: 0 done, 1 failed or a promise was broken, 2 wrong arguments or settings.
    "#);
}

#[test]
fn help_of_the_demo_teaches() {
    insta::assert_snapshot!(help_of(&["demo", "--help"]), @r#"
    Runs a whole campaign on this machine and checks every promise against the provider's ledger.

    Starts a simulated provider and the daemon with SQLite as processes of their own on free ports, and
    does over the REST API what any client would: registers, makes and connects sessions, uploads the
    recipients as CSV, starts the campaign. When every message has come to its end, the report compares
    our counters with the provider's own ledger. Exit code 1 when a promise is broken. Progress goes to
    standard error, the report to standard output.

    Usage: dispatcher demo [OPTIONS]

    Options:
          --recipients <NUMBER>
              How many made-up recipients the campaign has

              [default: 10000]

          --sessions <NUMBER>
              How many sessions send it

              [default: 20]

          --rate <PER_SECOND>
              Sends per second of each session, up to 1,000 [default: 2000 divided by the sessions, at
              least 0.5]

          --faults <FILE>
              What goes wrong at the provider, as TOML

          --data-dir <DIR>
              Where settings, logs and the database go [default: a temporary folder, removed when all
              went well]

          --serve
              Stays up afterwards and prints the addresses; Ctrl-C stops everything

          --queue <QUEUE>
              Which way jobs take to the lanes; with kafka through topics of the run's own, deleted
              afterwards

              Possible values:
              - local: The outbox goes straight into intake
              - kafka: The outbox goes to a topic, and jobs come from there

              [default: local]

          --brokers <BROKERS>
              Where Kafka is, HOST:PORT and more after commas [default: what KAFKA_BROKERS names]

          --partitions <NUMBER>
              Into how many partitions the sessions are divided, with kafka

              [default: 64]

          --json
              Prints the report as exactly one JSON object

      -h, --help
              Print help (see a summary with '-h')

    Examples:
      dispatcher demo
      dispatcher demo --recipients 200000 --sessions 1000
      dispatcher demo --faults tests/faults/five_percent.toml --json
      dispatcher demo --queue kafka --brokers 127.0.0.1:9092
      dispatcher demo --serve --data-dir /tmp/demo
    "#);
}

#[test]
fn help_of_serve_teaches() {
    insta::assert_snapshot!(help_of(&["serve", "--help"]), @r#"
    Runs the daemon: REST front, intake, lanes, receipts, and the admin port.

    Reads built-in defaults, then config/default.toml when it is in the working folder, then --config,
    then the environment (DISPATCHER__SECTION__KEY); `check-config` shows what comes out. The first
    SIGTERM or Ctrl-C drains: no new sends, those on the wire finish, everything is recorded. The second
    ends the process at once; what was on the wire is then `unknown` and is never sent again unasked.

    Usage: dispatcher serve [OPTIONS]

    Options:
          --config <FILE>
              Settings that beat config/default.toml and are beaten by DISPATCHER__SECTION__KEY

          --ready-file <PATH>
              Writes one line of JSON with the bound addresses to this file once everything is ready

          --stop-with-stdin
              Drains when standard input ends, so that the daemon does not outlive the process that
              started it

      -h, --help
              Print help (see a summary with '-h')
    "#);
}

#[test]
fn every_command_has_help_and_every_argument_a_line() {
    for command in Cli::command().get_subcommands() {
        assert!(command.get_about().is_some(), "{} says nothing about itself", command.get_name());
        for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
            assert!(argument.get_help().is_some(), "{} {} says nothing", command.get_name(), argument.get_id());
        }
    }
}

#[test]
fn wrong_arguments_are_refused() {
    for arguments in [
        &["demo", "--recipients", "0"][..],
        &["demo", "--rate", "0"],
        &["demo", "--rate", "nan"],
        &["demo", "--sessions", "-1"],
        &["bench", "--provider-latency", "soon"],
        &["bench", "--queue", "post"],
        &["bench", "--partitions", "0"],
        &["demo", "--partitions", "1025"],
        &["bench", "--intake", "--per-job", "501"],
        &["bench", "--per-job", "10"],
        &["bench", "--intake", "--rate", "5"],
        &["simulate", "--listen", "localhost"],
        &["submit", "a.csv", "--tenant", "ana"],
        &["submit", "a.csv", "--not-before", "tomorrow"],
        &["submit", "a.csv", "--text", "a", "--message", "b.json"],
        &["dead-letters", "replay"],
        &["dead-letters", "replay", "0:1", "--all"],
        &["dead-letters", "replay", "0:1", "--cause", "EXPIRED"],
        &["dead-letters", "list", "--cause", "BAD"],
        &["no-such-command"],
        &[],
    ] {
        let parsed = Cli::try_parse_from([&["dispatcher"], arguments].concat());
        assert_eq!(parsed.map(drop).map_err(|refused| refused.exit_code()), Err(2), "{arguments:?}");
    }
}
