//! The command line: arguments in, a command run, an exit code out.
//!
//! Holds no rule of the field: every command hands over to the part that does the work. Exit codes: 0
//! done, 1 failed or a promise was broken, 2 wrong arguments or settings.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::broker::Broker;
use crate::config::{Config, Problems, Sources};

mod dead_letters;
mod doctor;
mod manual;
mod measure;
mod operator;
mod queue;
mod serve;
mod settings;
mod signals;
mod simulate;
mod submit;

/// Dispatches WhatsApp bulk campaigns: every message paced, recorded before it leaves, and accounted for.
///
/// `serve` is the daemon with its REST front. Everything else helps to run it, to try it out without a
/// provider, or to measure it.
#[derive(Debug, Parser)]
#[command(name = "dispatcher", version, max_term_width = 100, after_long_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  dispatcher demo                            a whole campaign against a simulated provider
  dispatcher demo --serve                    the same, and stays up to be tried out with curl
  dispatcher serve --config dispatcher.toml  the daemon
  dispatcher check-config dispatcher.toml    every mistake in the settings at once
  DISPATCHER__STORE__URL=postgres://ana@db/dispatcher dispatcher migrate

Exit codes: 0 done, 1 failed or a promise was broken, 2 wrong arguments or settings.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Simulate(simulate::SimulateArgs),
    Demo(measure::DemoArgs),
    Bench(measure::BenchArgs),
    Submit(submit::SubmitArgs),
    DeadLetters(dead_letters::DeadLettersArgs),
    Doctor(doctor::DoctorArgs),
    /// Brings the schema of the configured database up to date.
    Migrate(ConfigArgs),
    GrantOperator(operator::GrantOperatorArgs),
    /// Prints the settings that come out of defaults, files and environment, or every mistake in them.
    CheckConfig {
        /// The file that `serve --config` would be given.
        file: Option<PathBuf>,
    },
    /// Prints the OpenAPI document of the REST front.
    Openapi,
    /// Prints the AsyncAPI document of the Kafka topics.
    Asyncapi,
    /// Prints all metrics with their labels and what they are, as a page in Markdown.
    Metrics {
        /// As JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Prints the completions of a shell; for bash: `source <(dispatcher completions bash)`.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    Man(manual::ManArgs),
    Probe(manual::ProbeArgs),
}

/// Where settings come from, for commands that need them.
#[derive(Debug, Clone, Args)]
struct ConfigArgs {
    /// Settings that beat config/default.toml and are beaten by DISPATCHER__SECTION__KEY.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Why a command did not do what it was asked for.
#[derive(Debug)]
enum Failure {
    /// The arguments or the settings are wrong; the text says all that is.
    Usage(String),
    /// It was tried and did not work.
    Failed(anyhow::Error),
    /// It was done, and what it found is bad; everything was said already.
    Broken,
}

type Outcome = Result<(), Failure>;

/// Runs the command that the arguments ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(answer) => {
            // Help and version come this way too; a closed standard output is not worth a word.
            answer.print().ok();
            return ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(2));
        }
    };
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Broken) => ExitCode::from(1),
        Err(Failure::Usage(text)) => {
            eprintln!("{text}");
            ExitCode::from(2)
        }
        Err(Failure::Failed(problem)) => {
            eprintln!("error: {problem:#}");
            ExitCode::from(1)
        }
    }
}

impl Cli {
    fn run(self) -> Outcome {
        match self.command {
            Command::Serve(args) => args.run(),
            Command::Simulate(args) => args.run(),
            Command::Demo(args) => args.run(),
            Command::Bench(args) => args.run(),
            Command::Submit(args) => args.run(),
            Command::DeadLetters(args) => args.run(),
            Command::Doctor(args) => args.run(),
            Command::Migrate(args) => settings::migrate(&args),
            Command::GrantOperator(args) => args.run(),
            Command::CheckConfig { file } => settings::check_config(file.as_deref()),
            Command::Openapi => settings::print_openapi(),
            Command::Asyncapi => settings::print_asyncapi(),
            Command::Metrics { json } => settings::print_metrics(json),
            Command::Completions { shell } => manual::print_completions(shell),
            Command::Man(args) => args.run(),
            Command::Probe(args) => args.run(),
        }
    }
}

impl ConfigArgs {
    fn load(&self) -> Result<Config, Failure> {
        Config::load(&self.sources()).map_err(|problems| wrong_settings(&problems))
    }

    fn sources(&self) -> Sources {
        Sources::of_process(self.config.as_deref())
    }

    /// Makes the way to the configured cluster, for commands that are nothing without one.
    fn kafka(&self) -> Result<Broker, Failure> {
        let Some(kafka) = self.load()?.queue.kafka else {
            let text =
                "error: queue.kind is \"local\", so there are no topics: set queue.kind = \"kafka\" and queue.brokers";
            return Err(Failure::Usage(text.to_owned()));
        };
        Broker::new(kafka).map_err(|problem| Failure::Usage(format!("error: {problem}")))
    }
}

impl From<anyhow::Error> for Failure {
    fn from(problem: anyhow::Error) -> Self {
        Self::Failed(problem)
    }
}

fn wrong_settings(problems: &Problems) -> Failure {
    let n_problems = problems.iter().count();
    let noun = if n_problems == 1 { "mistake" } else { "mistakes" };
    Failure::Usage(format!("{n_problems} {noun} in the settings:\n{problems}"))
}

/// Writes to standard output; a reader that went away is no failure.
fn print(bytes: &[u8]) -> Outcome {
    use std::io::Write;
    match std::io::stdout().lock().write_all(bytes) {
        Err(problem) if problem.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(anyhow::Error::new(problem).context("write to standard output")))
        }
        _ => Ok(()),
    }
}

/// Runs a command's future on a runtime with one thread per core.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|problem| anyhow::Error::new(problem).context("start the runtime"))?;
    let result = runtime.block_on(future);
    // Whatever still runs was told to stop before; nothing may hold up the end of the process.
    runtime.shutdown_background();
    Ok(result)
}

#[cfg(test)]
mod tests;
