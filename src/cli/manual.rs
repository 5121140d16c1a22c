//! What goes with an installed program: pages of the manual, completions, and the probe that asks a daemon how it is.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, ConfigArgs, Failure, Outcome, print};

/// How long a probe waits for each step.
const PROBE_MAX: Duration = Duration::from_secs(3);

/// The answer of the admin port is a line or two.
const ANSWER_BYTES_MAX: u64 = 1_024;

/// Asks the daemon on this machine whether it lives, or with --ready whether it takes requests and sends.
///
/// For health checks of containers and of systemd: exit code 0 when it does, 1 when not, with the reason. Asks the admin
/// port of the settings; one that listens on all addresses is asked on loopback.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Example:
  dispatcher probe --ready && echo 'may have requests'")]
pub(super) struct ProbeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Asks /readyz instead of /livez.
    #[arg(long)]
    ready: bool,
}

impl ProbeArgs {
    pub(super) fn run(self) -> Outcome {
        let address = reachable(self.config.load()?.server.admin_listen);
        let path = if self.ready { "/readyz" } else { "/livez" };
        let answer = ask(address, path).with_context(|| format!("ask http://{address}{path}"))?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).unwrap_or("no status");
        if status == "200" {
            return Ok(());
        }
        Err(Failure::Failed(anyhow::anyhow!("http://{address}{path} answered {status}: {}", body.trim())))
    }
}

/// The address at which a socket that listens there can be asked on this machine.
fn reachable(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PROBE_MAX)?;
    stream.set_read_timeout(Some(PROBE_MAX))?;
    stream.set_write_timeout(Some(PROBE_MAX))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Prints the page of the manual for the whole program, or writes one for each command into a folder.
///
/// For packages: `dispatcher man --dir /usr/share/man/man1`.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Where to; without it the page of the program is printed.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl ManArgs {
    pub(super) fn run(self) -> Outcome {
        let Some(folder) = self.dir else {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page).context("write the page")?;
            return print(&page);
        };
        write_pages(&folder).map_err(Failure::Failed)
    }
}

fn write_pages(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
    clap_mangen::generate_to(Cli::command(), folder).with_context(|| format!("write into {}", folder.display()))
}

/// Prints the completions of a shell.
pub(super) fn print_completions(shell: Shell) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dispatcher", &mut text);
    print(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_on_all_addresses_is_asked_on_loopback() {
        let of = |address: &str| reachable(address.parse().expect("an address")).to_string();
        assert_eq!(of("0.0.0.0:9090"), "127.0.0.1:9090");
        assert_eq!(of("[::]:9090"), "[::1]:9090");
        assert_eq!(of("10.1.2.3:9090"), "10.1.2.3:9090");
    }

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().expect("a folder");
        write_pages(folder.path()).expect("written");
        for command in Cli::command().get_subcommands().filter(|command| command.get_name() != "help") {
            let page = folder.path().join(format!("dispatcher-{}.1", command.get_name()));
            let text = std::fs::read_to_string(&page).unwrap_or_default();
            assert!(text.contains(".SH DESCRIPTION"), "{}", page.display());
        }
    }
}
