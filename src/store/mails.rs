//! Mails asked for and not sent yet: claimed by one node at a time, tried until they are sent or given up.
//!
//! Holds no secret and no text: what is sent is made when it is sent. Knows addresses and no people.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::mail::MailKind;
use crate::store::bind::{to_i32, to_u32};
use crate::store::column::RowPlace;
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, Store, StoreError};
use crate::{with_reader, with_writer};

/// A mail asked for again is another mail: whoever tries the one before has no say in it.
const ASK: Sql = Sql::portable(
    "INSERT INTO mails (mail_id, email, kind, due_at_ms, about_id) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (email, kind, about_id) DO UPDATE SET mail_id = excluded.mail_id, due_at_ms = excluded.due_at_ms, n_attempts = 0",
);
const ANY_DUE: Sql = Sql::portable("SELECT EXISTS (SELECT 1 FROM mails WHERE due_at_ms <= $1)");
macro_rules! claim {
    ($lock:literal) => {
        concat!(
            "UPDATE mails SET due_at_ms = $2, n_attempts = n_attempts + 1 WHERE mail_id IN ( \
                 SELECT mail_id FROM mails WHERE due_at_ms <= $1 ORDER BY due_at_ms, mail_id LIMIT $3",
            $lock,
            ") RETURNING mail_id, email, kind, about_id, n_attempts"
        )
    };
}
const CLAIM: Sql = Sql::per_dialect(claim!(" FOR UPDATE SKIP LOCKED"), claim!(""));
const DONE: Sql = Sql::portable("DELETE FROM mails WHERE mail_id = $1 AND n_attempts = $2");
const PUT_OFF: Sql = Sql::portable("UPDATE mails SET due_at_ms = $3 WHERE mail_id = $1 AND n_attempts = $2");

const DOING_ASK: &str = "ask for a mail";
const DOING_CLAIM: &str = "claim mails";
const DOING_END: &str = "note what became of a mail";

/// A mail that this node tries to send now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailClaim {
    /// The mail.
    pub id: Uuid,
    /// To which address.
    pub email: String,
    /// What for.
    pub kind: MailKind,
    /// About which thing: the invitation; nil for what is about the person.
    pub about_id: Uuid,
    /// Which attempt this is, from 1; also proves that it is still ours.
    pub n_attempts: u32,
}

/// The mails in the database.
#[derive(Debug, Clone, Copy)]
pub struct Mails<'a> {
    store: &'a Store,
}

impl Store {
    /// Returns the mails that are to be sent.
    #[must_use]
    pub fn mails(&self) -> Mails<'_> {
        Mails { store: self }
    }
}

impl Mails<'_> {
    /// Asks for a mail; one of its kind to this address that is not sent yet makes room for it.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written; safe to repeat.
    pub async fn ask(&self, email: &str, kind: MailKind, now_ms: i64) -> Result<(), StoreError> {
        let mut tx = self.store.begin_write(DOING_ASK).await?;
        tx.ask_for_mail(email, kind, now_ms, DOING_ASK).await?;
        tx.commit(DOING_ASK).await
    }

    /// Claims up to `n_max` mails that are due, the oldest first; nobody else gets them before `leased_until_ms`.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it is not known which were claimed, [`StoreError::Corrupt`] when one is not
    /// readable.
    pub async fn claim(&self, now_ms: i64, leased_until_ms: i64, n_max: u32) -> Result<Vec<MailClaim>, StoreError> {
        // Mostly there is none, and then nobody waits for the only connection that writes to SQLite.
        let sql = ANY_DUE.of(self.store.pool());
        let any = with_reader!(self.store.pool(), |db| {
            sqlx::query_scalar::<_, bool>(sql).bind(now_ms).fetch_one(db).await
        });
        if !any.map_err(StoreError::database(DOING_CLAIM))? {
            return Ok(Vec::new());
        }
        let sql = CLAIM.of(self.store.pool());
        let rows = with_writer!(self.store.pool(), |db| {
            let query = sqlx::query_as::<_, MailRow>(sql).bind(now_ms).bind(leased_until_ms).bind(i64::from(n_max));
            query.fetch_all(db).await
        });
        rows.map_err(StoreError::database(DOING_CLAIM))?.into_iter().map(MailClaim::try_from).collect()
    }

    /// Forgets a mail that was sent or given up, if it is still the one that was claimed.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written: the mail may be sent again.
    pub async fn done(&self, claim: &MailClaim) -> Result<(), StoreError> {
        let sql = DONE.of(self.store.pool());
        with_writer!(self.store.pool(), |db| {
            sqlx::query(sql).bind(claim.id).bind(to_i32(claim.n_attempts)).execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING_END))
    }

    /// Puts off a mail that was not sent, if it is still the one that was claimed.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written: it is tried again when the lease has run out.
    pub async fn put_off(&self, claim: &MailClaim, due_at_ms: i64) -> Result<(), StoreError> {
        let sql = PUT_OFF.of(self.store.pool());
        with_writer!(self.store.pool(), |db| {
            let query = sqlx::query(sql).bind(claim.id).bind(to_i32(claim.n_attempts)).bind(due_at_ms);
            query.execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING_END))
    }
}

impl Tx {
    /// Asks for a mail with the transaction that makes it needed.
    pub(crate) async fn ask_for_mail(
        &mut self,
        email: &str,
        kind: MailKind,
        now_ms: i64,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        self.ask_for_mail_about(email, (kind, Uuid::nil()), now_ms, doing).await
    }

    /// Asks for a mail about one of several things that its reader may be told of.
    pub(crate) async fn ask_for_mail_about(
        &mut self,
        email: &str,
        (kind, about_id): (MailKind, Uuid),
        now_ms: i64,
        doing: &'static str,
    ) -> Result<(), StoreError> {
        let sql = ASK.postgres();
        with_tx!(self, |db| {
            let query = sqlx::query(sql).bind(Uuid::now_v7()).bind(email).bind(kind.as_str()).bind(now_ms);
            query.bind(about_id).execute(db).await.map(drop)
        })
        .map_err(StoreError::database(doing))
    }
}

#[derive(FromRow)]
struct MailRow {
    mail_id: Uuid,
    email: String,
    kind: String,
    about_id: Uuid,
    n_attempts: i32,
}

impl TryFrom<MailRow> for MailClaim {
    type Error = StoreError;

    fn try_from(row: MailRow) -> Result<Self, StoreError> {
        let place = RowPlace { table: "mails", key: row.mail_id };
        let kind = place.known("kind", MailKind::parse(&row.kind))?;
        let n_attempts = to_u32(row.n_attempts);
        Ok(Self { id: row.mail_id, email: row.email, kind, about_id: row.about_id, n_attempts })
    }
}
