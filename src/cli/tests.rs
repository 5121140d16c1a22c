//! The command line from outside: what it teaches, and what it refuses.

use super::*;

fn help_of(arguments: &[&str]) -> String {
    let answer = Cli::try_parse_from([&["dispatcher"], arguments].concat()).expect_err("help is not a command");
    answer
        .to_string()
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn arguments_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn help_teaches() {
    insta::assert_snapshot!(help_of(&["--help"]), @"");
}

#[test]
fn help_of_the_demo_teaches() {
    insta::assert_snapshot!(help_of(&["demo", "--help"]), @"");
}

#[test]
fn help_of_serve_teaches() {
    insta::assert_snapshot!(help_of(&["serve", "--help"]), @"");
}

#[test]
fn every_command_has_help_and_every_argument_a_line() {
    for command in Cli::command().get_subcommands() {
        assert!(
            command.get_about().is_some(),
            "{} says nothing about itself",
            command.get_name()
        );
        for argument in command.get_arguments().filter(|argument| argument.get_id() != "help") {
            assert!(
                argument.get_help().is_some(),
                "{} {} says nothing",
                command.get_name(),
                argument.get_id()
            );
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
        &["simulate", "--listen", "localhost"],
        &["no-such-command"],
        &[],
    ] {
        let parsed = Cli::try_parse_from([&["dispatcher"], arguments].concat());
        assert_eq!(
            parsed.map(drop).map_err(|refused| refused.exit_code()),
            Err(2),
            "{arguments:?}"
        );
    }
}
