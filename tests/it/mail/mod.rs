//! Mails over real SMTP: who gets which, when the server is away, refuses, hangs or breaks, and what their tokens do.

use std::time::Duration;

use actiwapi_dispatcher::clock::Clock;
use actiwapi_dispatcher::domain::mail::MailKind;
use actiwapi_dispatcher::error::Error;
use actiwapi_dispatcher::mail::{CarrierSettings, MailSettings, Mailer};
use actiwapi_dispatcher::store::Store;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::server::{Mood, Server};
use crate::service::front::{Front, fields};
use crate::support::db::store_contract;
use crate::support::seed::{self, count};
use crate::support::wait::until_so;

mod server;

store_contract!(
    a_mail_resets_a_password_once,
    a_mail_verifies_an_address_once,
    another_address_is_not_verified,
    a_mail_waits_for_its_server_and_arrives_once,
    a_mailer_works_by_itself,
    nobody_is_written_to_who_has_no_account,
    whoever_is_refused_for_good_is_given_up,
    whatever_passes_is_tried_again_and_not_for_ever,
    a_server_that_hangs_is_left,
    a_mail_that_was_taken_unsaid_comes_again_under_its_name,
    a_mailer_that_died_leaves_its_mails_to_others,
    a_mail_asked_for_again_meanwhile_is_another_one,
    without_a_server_no_token_is_drawn,
    tokens_that_expired_are_forgotten,
    only_the_newest_tokens_are_good,
);

/// Returns the one run of 64 hex digits, whatever the mail's encoding has cut it into.
pub(crate) fn token_in(text: &str) -> String {
    let text = text.replace("=\r\n", "").replace("=3D", "=");
    let mut runs = text.split(|c: char| !c.is_ascii_hexdigit()).filter(|run| run.len() == 64);
    let token = runs.next().unwrap_or_else(|| panic!("no token in {text}")).to_owned();
    assert_eq!(runs.next(), None, "one token");
    token
}

fn settings(carrier: CarrierSettings) -> MailSettings {
    MailSettings {
        from: "Tea <no-reply@tea.example>".parse().unwrap(),
        carrier,
        timeout: Duration::from_secs(60),
        app_url: Some("https://app.example.com".to_owned()),
    }
}

fn mailer_with(front: &Front, settings: MailSettings) -> Mailer {
    let clock = Clock::Manual(front.clock.clone());
    Mailer::new(front.store.clone(), clock, front.services.auth.clone(), settings).unwrap()
}

fn mailer(front: &Front, server: &Server) -> Mailer {
    let url = format!("smtp://ana:s3cret@{}", server.address);
    mailer_with(front, settings(CarrierSettings::Server(url.into())))
}

/// Registers somebody whose address needs no mail any more.
async fn verified(front: &Front, email: &str) {
    front.register(email).await.unwrap();
    let claims = front.store.mails().claim(seed::NOW_MS + 1, seed::NOW_MS + 2, 10).await.unwrap();
    let letter = front.services.auth.letter(&claims[0]).await.unwrap().unwrap();
    front.services.auth.verify_email(&letter.token).await.unwrap();
    front.store.mails().done(&claims[0]).await.unwrap();
    assert_eq!(count(&front.store, "mails").await, 0);
}

fn secret(text: &str) -> SecretString {
    text.to_owned().into()
}

async fn a_mail_resets_a_password_once(store: Store) {
    let front = Front::new(store);
    verified(&front, "ana@example.com").await;
    let before = front.services.auth.login("ana@example.com", &secret("correct horse")).await.unwrap();
    let (auth, server) = (&front.services.auth, Server::start().await);
    auth.forgot_password(" ANA@example.com").await.unwrap();
    assert_eq!(mailer(&front, &server).send_due().await.unwrap(), 1);
    let mail = server.taken().pop().unwrap();
    assert_eq!((mail.from.as_str(), mail.to.as_slice()), ("no-reply@tea.example", &["ana@example.com".to_owned()][..]));
    assert_eq!(mail.headers("Subject"), ["Set a new password"]);
    let token = secret(&mail.token());
    let kept = format!("account_tokens WHERE CAST(token_hash AS TEXT) LIKE '%{}%'", token.expose_secret());
    assert_eq!((count(&front.store, "account_tokens").await, count(&front.store, &kept).await), (1, 0));

    assert_eq!(fields(auth.reset_password(&token, &secret("short")).await), ["password"]);
    assert_eq!(fields(auth.reset_password(&secret("00"), &secret("staple battery")).await), ["token"]);
    assert_eq!(fields(auth.verify_email(&token).await), ["token"], "it is for something else");
    let new = secret("staple battery");
    let (a, b) = tokio::join!(auth.reset_password(&token, &new), auth.reset_password(&token, &new));
    assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|ok| **ok).count(), 1, "{a:?} {b:?}");
    assert_eq!(fields(auth.reset_password(&token, &secret("another one")).await), ["token"]);

    assert!(matches!(auth.login("ana@example.com", &secret("correct horse")).await, Err(Error::Unauthorized)));
    auth.login("ana@example.com", &new).await.unwrap();
    assert!(matches!(auth.refresh(&before.refresh_token).await, Err(Error::Unauthorized)));
    assert!(matches!(auth.verify(before.access_token.expose_secret()).await, Err(Error::Unauthorized)));
}

async fn a_mail_verifies_an_address_once(store: Store) {
    let (front, server) = (Front::new(store), Server::start().await);
    let ana = front.register("ana@example.com").await.unwrap();
    let (auth, users) = (&front.services.auth, front.store.users());
    assert_eq!(mailer(&front, &server).send_due().await.unwrap(), 1);
    let token = secret(&server.taken()[0].token());
    assert_eq!(
        fields(auth.reset_password(&token, &secret("staple battery")).await),
        ["token"],
        "it is for something else"
    );
    let shown = async || users.find(ana.user.tenant_id, ana.user.id).await.unwrap().unwrap().email_verified_at_ms;
    assert_eq!(shown().await, None);
    auth.verify_email(&token).await.unwrap();
    assert_eq!(shown().await, Some(seed::NOW_MS));
    assert_eq!(fields(auth.verify_email(&token).await), ["token"]);
    let caller = auth.verify(ana.access_token.expose_secret()).await.unwrap();
    assert!(auth.resend_verification(caller).await.unwrap());
    assert_eq!(count(&front.store, "mails").await, 0);
}

async fn another_address_is_not_verified(store: Store) {
    use actiwapi_dispatcher::store::audit::Actor;
    use actiwapi_dispatcher::store::users::ProfileChange;

    let (front, server) = (Front::new(store), Server::start().await);
    let ana = front.register("ana@example.com").await.unwrap();
    let (auth, mailer) = (&front.services.auth, mailer(&front, &server));
    auth.forgot_password("ana@example.com").await.unwrap();
    mailer.send_due().await.unwrap();
    let old: Vec<_> = server.taken().iter().map(|mail| secret(&mail.token())).collect();
    let caller = auth.verify(ana.access_token.expose_secret()).await.unwrap();
    let change = |email: &str| ProfileChange { name: None, email: Some(email.to_owned()) };
    auth.forgot_password("ana@example.com").await.unwrap();
    let changed = auth
        .change_profile(caller, change("New@example.com"), Some(&secret("correct horse")), &Actor::SYSTEM)
        .await
        .unwrap();
    assert_eq!((changed.email.as_str(), changed.email_verified_at_ms), ("new@example.com", None));
    // What was sent to the address before is worth nothing, and what was asked for it is not sent.
    for token in &old {
        assert_eq!(fields(auth.verify_email(token).await), ["token"]);
        assert_eq!(fields(auth.reset_password(token, &secret("staple battery")).await), ["token"]);
    }
    mailer.send_due().await.unwrap();
    let taken = server.taken();
    assert_eq!(taken[2..].iter().map(|mail| mail.to[0].as_str()).collect::<Vec<_>>(), ["new@example.com"]);
    auth.verify_email(&secret(&taken[2].token())).await.unwrap();
    let same = auth.change_profile(caller, change(" NEW@example.com"), None, &Actor::SYSTEM).await.unwrap();
    assert!(same.email_verified_at_ms.is_some(), "the same address stays verified");
}

async fn a_mail_waits_for_its_server_and_arrives_once(store: Store) {
    let (front, server) = (Front::new(store), Server::start().await);
    verified(&front, "ana@example.com").await;
    let (mailer, address) = (mailer(&front, &server), server.address);
    server.stop().await;
    front.services.auth.forgot_password("ana@example.com").await.unwrap();
    for _ in 0..20 {
        mailer.send_due().await.unwrap();
        assert_eq!(count(&front.store, "mails WHERE n_attempts > 0").await, 1);
        front.clock.advance(Duration::from_secs(20 * 60));
    }
    let server = Server::start_at(address).await;
    assert_eq!(mailer.send_due().await.unwrap(), 1);
    for _ in 0..5 {
        front.clock.advance(Duration::from_secs(3_000));
        assert_eq!(mailer.send_due().await.unwrap(), 0);
    }
    assert_eq!(server.taken().len(), 1);
    // The hour begins when the mail is sent, and not when it was asked for. It is over by now.
    let token = secret(&server.taken()[0].token());
    assert_eq!(fields(front.services.auth.reset_password(&token, &secret("staple battery")).await), ["token"]);
    front.services.auth.forgot_password("ana@example.com").await.unwrap();
    mailer.send_due().await.unwrap();
    front.clock.advance(Duration::from_secs(3_599));
    let token = secret(&server.taken()[1].token());
    front.services.auth.reset_password(&token, &secret("staple battery")).await.unwrap();
}

async fn a_mailer_works_by_itself(store: Store) {
    let (front, server, stop) = (Front::new(store), Server::start().await, CancellationToken::new());
    front.register("ana@example.com").await.unwrap();
    let running = TaskTracker::new().spawn(mailer(&front, &server).run(stop.clone()));
    until_so("the mail is there", async || server.taken().len() == 1).await;
    front.register("bob@example.com").await.unwrap();
    until_so("the next mail is there", async || server.taken().len() == 2).await;
    until_so("nothing waits", async || count(&front.store, "mails").await == 0).await;
    stop.cancel();
    running.await.unwrap();
}

async fn nobody_is_written_to_who_has_no_account(store: Store) {
    let (front, server) = (Front::new(store), Server::start().await);
    front.services.auth.forgot_password("eve@example.com").await.unwrap();
    for bad in ["", "eve", "eve@example.com\r\nBcc: ana@example.com", "eve@example.com,ana@example.com"] {
        assert_eq!(fields(front.services.auth.forgot_password(bad).await), ["email"], "{bad:?}");
    }
    assert_eq!(count(&front.store, "mails").await, 1, "asking takes the same work for everybody");
    mailer(&front, &server).send_due().await.unwrap();
    assert_eq!((count(&front.store, "mails").await, server.taken().len()), (0, 0));
    assert_eq!(count(&front.store, "account_tokens").await, 0);
}

async fn whoever_is_refused_for_good_is_given_up(store: Store) {
    let (front, server) = (Front::new(store), Server::start().await);
    front.register("ana@example.com").await.unwrap();
    server.set(Mood::Refuses("550 5.1.1 no such user ana@example.com"));
    mailer(&front, &server).send_due().await.unwrap();
    assert_eq!(count(&front.store, "mails").await, 0);
}

async fn whatever_passes_is_tried_again_and_not_for_ever(store: Store) {
    let (front, server) = (Front::new(store), Server::start().await);
    let mailer = mailer(&front, &server);
    for mood in [Mood::Refuses("451 4.7.1 come again"), Mood::Refuses("530 who are you"), Mood::KnowsNobody] {
        server.set(mood);
        front.services.auth.forgot_password("ana@example.com").await.unwrap();
        front.register(&format!("{}@example.com", uuid::Uuid::now_v7())).await.unwrap();
        let mut n_attempts = 0;
        while 0 < count(&front.store, "mails").await {
            n_attempts += mailer.send_due().await.unwrap();
            front.clock.advance(Duration::from_secs(15 * 60));
            assert!(n_attempts <= 101, "{mood:?}");
        }
        // And the one for nobody.
        assert_eq!(n_attempts, 101, "{mood:?}");
    }
    assert_eq!(server.taken(), []);
}

async fn a_server_that_hangs_is_left(store: Store) {
    let (front, server) = (Front::new(store), Server::start().await);
    front.register("ana@example.com").await.unwrap();
    server.set(Mood::Hangs);
    let url = format!("smtp://{}", server.address).into();
    let patient = settings(CarrierSettings::Server(url));
    let mailer = mailer_with(&front, MailSettings { timeout: Duration::from_millis(200), ..patient });
    assert_eq!(mailer.send_due().await.unwrap(), 1);
    server.set(Mood::Takes);
    let mailer = self::mailer(&front, &server);
    assert_eq!(mailer.send_due().await.unwrap(), 0, "it is put off");
    front.clock.advance(Duration::from_secs(5));
    assert_eq!(mailer.send_due().await.unwrap(), 1);
    assert_eq!(server.taken().len(), 1);
}

async fn a_mail_that_was_taken_unsaid_comes_again_under_its_name(store: Store) {
    let (front, server) = (Front::new(store), Server::start().await);
    front.register("ana@example.com").await.unwrap();
    let mailer = mailer(&front, &server);
    server.set(Mood::TakesAndBreaks);
    mailer.send_due().await.unwrap();
    server.set(Mood::Takes);
    front.clock.advance(Duration::from_secs(5));
    mailer.send_due().await.unwrap();
    let taken = server.taken();
    assert_eq!(taken.len(), 2);
    assert_eq!(taken[0].headers("Message-ID"), taken[1].headers("Message-ID"));
    assert_ne!(taken[0].token(), taken[1].token());
    // Whichever of the two is read first is good.
    front.services.auth.verify_email(&secret(&taken[0].token())).await.unwrap();
}

async fn a_mailer_that_died_leaves_its_mails_to_others(store: Store) {
    let (front, server) = (Front::new(store), Server::start().await);
    front.register("ana@example.com").await.unwrap();
    let now_ms = seed::NOW_MS;
    let dead = front.store.mails().claim(now_ms, now_ms + 90_000, 10).await.unwrap();
    assert_eq!(dead.len(), 1);
    let (one, other) = (mailer(&front, &server), mailer(&front, &server));
    front.clock.advance(Duration::from_secs(89));
    assert_eq!(one.send_due().await.unwrap(), 0);
    front.clock.advance(Duration::from_secs(1));
    let (a, b) = tokio::join!(one.send_due(), other.send_due());
    assert_eq!(a.unwrap() + b.unwrap(), 1, "two nodes, one mail");
    // The dead one comes back and has no say any more.
    front.store.mails().put_off(&dead[0], now_ms).await.unwrap();
    front.store.mails().done(&dead[0]).await.unwrap();
    assert_eq!((server.taken().len(), count(&front.store, "mails").await), (1, 0));
}

async fn a_mail_asked_for_again_meanwhile_is_another_one(store: Store) {
    let (front, server) = (Front::new(store), Server::start().await);
    verified(&front, "ana@example.com").await;
    let (mails, now_ms) = (front.store.mails(), seed::NOW_MS);
    mails.ask("ana@example.com", MailKind::ResetPassword, now_ms).await.unwrap();
    mails.ask("ana@example.com", MailKind::ResetPassword, now_ms).await.unwrap();
    let claims = mails.claim(now_ms, now_ms + 1_000, 10).await.unwrap();
    assert_eq!(claims.len(), 1, "asked for twice, sent once");
    mails.ask("ana@example.com", MailKind::ResetPassword, now_ms).await.unwrap();
    mails.done(&claims[0]).await.unwrap();
    assert_eq!(mailer(&front, &server).send_due().await.unwrap(), 1, "what was asked for later is not lost");
}

async fn without_a_server_no_token_is_drawn(store: Store) {
    let front = Front::new(store);
    front.register("ana@example.com").await.unwrap();
    assert_eq!(mailer_with(&front, settings(CarrierSettings::Nobody)).send_due().await.unwrap(), 1);
    assert_eq!((count(&front.store, "mails").await, count(&front.store, "account_tokens").await), (0, 0));
    let folder = tempfile::tempdir().unwrap();
    let carrier = CarrierSettings::Directory(folder.path().join("mails"));
    front.register("bob@example.com").await.unwrap();
    assert_eq!(mailer_with(&front, settings(carrier)).send_due().await.unwrap(), 1);
    let files: Vec<_> =
        std::fs::read_dir(folder.path().join("mails")).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].extension().unwrap(), "eml");
    let token = token_in(&std::fs::read_to_string(&files[0]).unwrap());
    front.services.auth.verify_email(&secret(&token)).await.unwrap();
}

async fn tokens_that_expired_are_forgotten(store: Store) {
    let (front, server) = (Front::new(store), Server::start().await);
    let ana = front.register("ana@example.com").await.unwrap();
    mailer(&front, &server).send_due().await.unwrap();
    front.services.auth.forget_expired().await.unwrap();
    let left = async || (count(&front.store, "account_tokens").await, count(&front.store, "refresh_tokens").await);
    assert_eq!(left().await, (1, 1));
    front.clock.advance(Duration::from_secs(3 * 86_400));
    let token = secret(&server.taken()[0].token());
    assert_eq!(fields(front.services.auth.verify_email(&token).await), ["token"]);
    front.services.auth.forget_expired().await.unwrap();
    assert_eq!(left().await, (0, 1));
    // What is left is still good, the access token of the same log-in too.
    front.services.auth.verify(ana.access_token.expose_secret()).await.unwrap();
    front.clock.advance(Duration::from_secs(27 * 86_400));
    front.services.auth.forget_expired().await.unwrap();
    assert_eq!(left().await, (0, 0));
}

async fn only_the_newest_tokens_are_good(store: Store) {
    let (front, server) = (Front::new(store), Server::start().await);
    front.register("ana@example.com").await.unwrap();
    let (auth, mailer) = (&front.services.auth, mailer(&front, &server));
    mailer.send_due().await.unwrap();
    for _ in 0..6 {
        front.clock.advance(Duration::from_secs(1));
        auth.forgot_password("ana@example.com").await.unwrap();
        mailer.send_due().await.unwrap();
    }
    let tokens: Vec<_> = server.taken()[1..].iter().map(|mail| secret(&mail.token())).collect();
    assert_eq!(count(&front.store, "account_tokens WHERE kind = 'reset_password'").await, 5);
    assert_eq!(fields(auth.reset_password(&tokens[0], &secret("staple battery")).await), ["token"]);
    auth.reset_password(&tokens[1], &secret("staple battery")).await.unwrap();
    assert_eq!(count(&front.store, "account_tokens WHERE kind = 'reset_password'").await, 0);
    assert_eq!(count(&front.store, "account_tokens").await, 1, "the other kind is still there");
}
