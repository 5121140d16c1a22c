//! Sends the mails that were asked for, at least once, however long the server is away.
//!
//! Several nodes share the work: a mail belongs to the node that claimed it until its lease runs out. A mail that was taken by
//! the server and not noted, because the process died in between, is sent again with the same `Message-ID` and another token.
//! Who is sent what is `service::auth`.

use std::path::PathBuf;
use std::time::Duration;

use backoff::{BackoffBuilder, ExponentialBuilder};
use futures::future::join_all;
use lettre::message::Mailbox;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use self::carrier::{Carrier, NotSent};
use self::letter::Stationery;
use crate::clock::Clock;
use crate::error::{Result, chain};
use crate::patience::Patience;
use crate::service::AuthService;
use crate::store::Store;
use crate::store::mails::MailClaim;

mod carrier;
mod letter;

/// How often the queue is looked at.
const BEAT: Duration = Duration::from_secs(1);

/// First and longest wait between two attempts: a server that is restarted is back after seconds, one that is broken after
/// an hour or a day.
const WAITS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15 * 60));

/// Attempts at one mail: with those waits about a day.
const ATTEMPTS_MAX: u32 = 100;

/// Mails tried at once: 8 connections, as many as a server takes from one client without complaint.
const AT_ONCE_MAX: u32 = 8;

/// How long a claimed mail belongs to a node beyond the attempt itself: time to note how it ended.
const LEASE: Duration = Duration::from_secs(30);

/// What an operator may set.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// Whom mails are from.
    pub from: Mailbox,
    /// What takes them.
    pub carrier: CarrierSettings,
    /// Longest time to send one.
    pub timeout: Duration,
    /// The address of the pages that take their tokens, without a slash at the end.
    pub app_url: Option<String>,
}

/// What takes mails.
#[derive(Debug, Clone)]
pub enum CarrierSettings {
    /// Nothing: that a mail was not sent is logged, and it is forgotten.
    Nobody,
    /// Files of a directory, which is made when it is missing.
    Directory(PathBuf),
    /// An SMTP server, by its address with name and password.
    Server(SecretString),
}

/// Sends mails.
#[derive(Debug)]
pub struct Mailer {
    store: Store,
    clock: Clock,
    auth: AuthService,
    /// None where nobody takes mails.
    carrier: Option<Carrier>,
    stationery: Stationery,
    lease: Duration,
}

/// What became of an attempt.
enum Outcome {
    /// The carrier has it.
    Sent,
    /// Nobody is to be sent it.
    Nobody,
    /// It was not sent.
    NotSent(NotSent),
}

impl Mailer {
    /// Makes one; sends nothing yet.
    ///
    /// # Errors
    /// `Internal` when the settings can not be used; says nothing of passwords.
    pub fn new(store: Store, clock: Clock, auth: AuthService, settings: MailSettings) -> Result<Self> {
        let carrier = Carrier::new(&settings.carrier, settings.timeout)?;
        let stationery = Stationery { from: settings.from, app_url: settings.app_url };
        Ok(Self { store, clock, auth, carrier, stationery, lease: settings.timeout + LEASE })
    }

    /// Sends until told to stop; what is on its way then is waited for.
    pub async fn run(self, stop: CancellationToken) {
        let mut patience = Patience::default();
        while !stop.is_cancelled() {
            match self.send_due().await {
                Ok(0) => {
                    patience = Patience::default();
                    stop.run_until_cancelled(tokio::time::sleep(BEAT)).await;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(error = chain(&error), "mails could not be looked at, will try again");
                    patience.wait_unless(&stop).await;
                }
            }
        }
    }

    /// Tries mails that are due now, a bounded number at once; returns how many.
    ///
    /// # Errors
    /// `Store` when the queue could not be read or written; nothing is lost by that.
    pub async fn send_due(&self) -> Result<usize> {
        let now = self.clock.now();
        let leased_until_ms = (now + self.lease).as_ms();
        let claims = self.store.mails().claim(now.as_ms(), leased_until_ms, AT_ONCE_MAX).await?;
        let ended = join_all(claims.iter().map(|claim| self.send_one(claim))).await;
        ended.into_iter().collect::<Result<Vec<()>>>()?;
        Ok(claims.len())
    }

    async fn send_one(&self, claim: &MailClaim) -> Result<()> {
        let (id, kind, attempt) = (claim.id, claim.kind.as_str(), claim.n_attempts);
        let mails = self.store.mails();
        let not_sent = match self.attempt(claim).await? {
            Outcome::Sent => {
                tracing::info!(mail.id = %id, mail.kind = kind, attempt, "mail sent");
                return Ok(mails.done(claim).await?);
            }
            Outcome::Nobody => return Ok(mails.done(claim).await?),
            Outcome::NotSent(not_sent) => not_sent,
        };
        let wait = wait_after(attempt).filter(|_| not_sent.may_be_tried_again);
        let reason = not_sent.reason;
        let Some(wait) = wait else {
            tracing::error!(mail.id = %id, mail.kind = kind, attempt, reason, "mail given up");
            return Ok(mails.done(claim).await?);
        };
        tracing::warn!(mail.id = %id, mail.kind = kind, attempt, reason, "mail not sent, will try again");
        Ok(mails.put_off(claim, (self.clock.now() + wait).as_ms()).await?)
    }

    async fn attempt(&self, claim: &MailClaim) -> Result<Outcome> {
        let Some(carrier) = &self.carrier else {
            // Its token is not even drawn: nothing of it is to stand in a log.
            let (id, kind) = (claim.id, claim.kind.as_str());
            tracing::info!(mail.id = %id, mail.kind = kind, "mail not sent, because neither mail.server nor mail.directory is set");
            return Ok(Outcome::Nobody);
        };
        let Some(letter) = self.auth.letter(claim).await? else { return Ok(Outcome::Nobody) };
        let Some(message) = self.stationery.write(&letter, claim.id) else {
            return Ok(Outcome::NotSent(NotSent::for_good("the address can not be written".to_owned())));
        };
        Ok(match carrier.take(message).await {
            Ok(()) => Outcome::Sent,
            Err(not_sent) => Outcome::NotSent(not_sent),
        })
    }
}

/// How long to wait after an attempt that failed, counted from 1; none after the last.
fn wait_after(n_attempts: u32) -> Option<Duration> {
    let n_waits = usize::try_from(ATTEMPTS_MAX - 1).unwrap_or(usize::MAX);
    let waits = ExponentialBuilder::new().with_min_delay(WAITS.0).with_max_delay(WAITS.1).with_max_times(n_waits);
    waits.build().nth(usize::try_from(n_attempts.saturating_sub(1)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_for_about_a_day_and_then_end() {
        let waits: Vec<u64> = (1..).map_while(wait_after).map(|wait| wait.as_secs()).collect();
        assert_eq!(waits[..10], [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]);
        assert_eq!(waits.len(), usize::try_from(ATTEMPTS_MAX - 1).unwrap());
        let hours = waits.iter().sum::<u64>() / 3_600;
        assert!((20..=30).contains(&hours), "{hours}");
        assert_eq!(wait_after(u32::MAX), None);
    }
}
