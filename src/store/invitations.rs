//! Invitations to a tenant's team: one open for an address, replaced by the next, used once.
//!
//! Knows no token, only hashes. What is over is kept for a while, so that whoever comes with its mail is told why.

use secrecy::ExposeSecret;
use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{InvitationId, TenantId, UserId};
use crate::domain::mail::MailKind;
use crate::domain::team::{InvitationState, TeamRefusal};
use crate::domain::user::Role;
use crate::store::audit::{Actor, Deed};
use crate::store::column::RowPlace;
use crate::store::page::{Page, PageRequest};
use crate::store::tx::{Tx, with_tx};
use crate::store::users::{INSERT_USER, UserRecord};
use crate::store::{Sql, Store, StoreError};
use crate::{with_reader, with_writer};

macro_rules! find {
    ($where:literal) => {
        Sql::portable(concat!(
            "SELECT i.invitation_id, i.tenant_id, t.name AS tenant_name, i.email, i.role, i.state, i.invited_by, \
                 i.created_at_ms, i.expires_at_ms FROM invitations i JOIN tenants t ON t.tenant_id = i.tenant_id ",
            $where
        ))
    };
}
const FIND: Sql = find!("WHERE i.invitation_id = $1");
const FIND_BY_TOKEN: Sql =
    find!("JOIN invitation_tokens k ON k.invitation_id = i.invitation_id WHERE k.token_hash = $1");
const LIST: Sql = find!(
    "WHERE i.tenant_id = $1 AND i.state = 'open' ORDER BY i.created_at_ms DESC, i.invitation_id DESC LIMIT $2 OFFSET $3"
);
const COUNT: Sql = Sql::portable("SELECT COUNT(*) FROM invitations WHERE tenant_id = $1 AND state = 'open'");
const IS_TAKEN: Sql = Sql::portable("SELECT tenant_id FROM users WHERE email = $1");
const END_OF_ADDRESS: Sql =
    Sql::portable("UPDATE invitations SET state = 'replaced' WHERE tenant_id = $1 AND email = $2 AND state = 'open'");
const END_BY: Sql = Sql::portable(
    "UPDATE invitations SET state = 'withdrawn' WHERE tenant_id = $1 AND invited_by = $2 AND state = 'open'",
);
/// One that has expired makes room.
const COUNT_GOOD: Sql =
    Sql::portable("SELECT COUNT(*) FROM invitations WHERE tenant_id = $1 AND state = 'open' AND $2 < expires_at_ms");
const INSERT: Sql = Sql::portable(
    "INSERT INTO invitations (invitation_id, tenant_id, email, role, state, invited_by, created_at_ms, expires_at_ms) \
     VALUES ($1, $2, $3, $4, 'open', $5, $6, $7)",
);
const END: Sql = Sql::portable(
    "UPDATE invitations SET state = $3 WHERE invitation_id = $1 AND tenant_id = $2 AND state = 'open' RETURNING email",
);
const KEEP_TOKEN: Sql = Sql::portable("INSERT INTO invitation_tokens (token_hash, invitation_id) VALUES ($1, $2)");
const FORGET: Sql = Sql::portable(
    "DELETE FROM invitations WHERE invitation_id IN ( \
         SELECT invitation_id FROM invitations WHERE expires_at_ms <= $1 ORDER BY expires_at_ms LIMIT $2)",
);

const DOING_INVITE: &str = "invite somebody";
const DOING_READ: &str = "read invitations";
const DOING_END: &str = "take an invitation back";
const DOING_ACCEPT: &str = "accept an invitation";

/// An invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationRecord {
    /// The invitation.
    pub id: InvitationId,
    /// Into whose team.
    pub tenant_id: TenantId,
    /// The name of that tenant.
    pub tenant_name: String,
    /// To which address.
    pub email: String,
    /// What the person is to be.
    pub role: Role,
    /// Where it stands.
    pub state: InvitationState,
    /// Who invites.
    pub invited_by: UserId,
    /// Since when, UTC milliseconds.
    pub created_at_ms: i64,
    /// Until when it can be accepted, UTC milliseconds.
    pub expires_at_ms: i64,
}

/// What came of inviting somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invited {
    /// The invitation is there, and its mail is asked for.
    Done,
    /// Whoever invites may not, or not into this role.
    Refused(TeamRefusal),
    /// Somebody of this team has the address.
    Member,
    /// Somebody else has the address.
    Taken,
    /// The tenant has as many open invitations as it may.
    TooMany,
}

/// What came of accepting an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// The person is a member.
    Done,
    /// It is not open any more.
    NotOpen,
    /// Somebody has the address meanwhile.
    Taken,
}

/// The invitations in the database.
#[derive(Debug, Clone, Copy)]
pub struct Invitations<'a> {
    store: &'a Store,
}

impl Store {
    /// Returns the invitations.
    #[must_use]
    pub fn invitations(&self) -> Invitations<'_> {
        Invitations { store: self }
    }
}

impl Invitations<'_> {
    /// Invites somebody and asks for the mail; an open invitation of the same address is replaced.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was written; safe to repeat.
    pub async fn invite(&self, new: &InvitationRecord, n_max: i64, actor: &Actor) -> Result<Invited, StoreError> {
        let now_ms = new.created_at_ms;
        let mut tx = self.store.begin_write(DOING_INVITE).await?;
        tx.hold_tenant(new.tenant_id, DOING_INVITE).await?;
        let by = tx.role_of(new.tenant_id, new.invited_by).await?;
        if let Err(refusal) = by.map_or(Err(TeamRefusal::NotAllowed), |role| role.may_grant(new.role)) {
            return Ok(Invited::Refused(refusal));
        }
        match tx.whose_address(&new.email, DOING_INVITE).await? {
            Some(tenant_id) if tenant_id == new.tenant_id => return Ok(Invited::Member),
            Some(_) => return Ok(Invited::Taken),
            None => {}
        }
        if !tx.make_room(new, n_max).await? {
            return Ok(Invited::TooMany);
        }
        let sql = INSERT.of(self.store.pool());
        with_tx!(&mut tx, |db| {
            let query = sqlx::query(sql).bind(new.id.0).bind(new.tenant_id.0).bind(&new.email).bind(new.role.as_str());
            query.bind(new.invited_by.0).bind(now_ms).bind(new.expires_at_ms).execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING_INVITE))?;
        tx.ask_for_mail_about(&new.email, (MailKind::Invitation, new.id.0), now_ms, DOING_INVITE).await?;
        let deed = deed("team.invited", new, serde_json::json!({ "role": new.role.as_str() }));
        tx.write_deed(actor, &deed, now_ms, DOING_INVITE).await?;
        tx.commit(DOING_INVITE).await?;
        Ok(Invited::Done)
    }

    /// Lists the open invitations of a tenant, newest first; those that have expired are among them.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when a row is not readable.
    pub async fn list(&self, tenant_id: TenantId, page: PageRequest) -> Result<Page<InvitationRecord>, StoreError> {
        let pool = self.store.pool();
        let (count, list) = (COUNT.of(pool), LIST.of(pool));
        let total: i64 = with_reader!(pool, |db| sqlx::query_scalar(count).bind(tenant_id.0).fetch_one(db).await)
            .map_err(StoreError::database(DOING_READ))?;
        let rows = with_reader!(pool, |db| {
            let query = sqlx::query_as::<_, InvitationRow>(list).bind(tenant_id.0);
            query.bind(i64::from(page.limit())).bind(page.offset()).fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database(DOING_READ))?;
        let items = rows.into_iter().map(InvitationRecord::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }

    /// Finds an invitation; whoever asks sends its mail, so no tenant is asked.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when it is not readable.
    pub async fn find(&self, id: InvitationId) -> Result<Option<InvitationRecord>, StoreError> {
        let sql = FIND.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, InvitationRow>(sql).bind(id.0).fetch_optional(db).await
        });
        row.map_err(StoreError::database(DOING_READ))?.map(InvitationRecord::try_from).transpose()
    }

    /// Finds the invitation that a token is of; the token is the credential, so no tenant is asked.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when it is not readable.
    pub async fn find_by_token(&self, hash: [u8; 32]) -> Result<Option<InvitationRecord>, StoreError> {
        let sql = FIND_BY_TOKEN.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, InvitationRow>(sql).bind(hash.as_slice()).fetch_optional(db).await
        });
        row.map_err(StoreError::database(DOING_READ))?.map(InvitationRecord::try_from).transpose()
    }

    /// Keeps what is sent with the mail of an invitation.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written.
    pub async fn keep_token(&self, id: InvitationId, hash: [u8; 32]) -> Result<(), StoreError> {
        let sql = KEEP_TOKEN.of(self.store.pool());
        with_writer!(self.store.pool(), |db| {
            sqlx::query(sql).bind(hash.as_slice()).bind(id.0).execute(db).await.map(drop)
        })
        .map_err(StoreError::database("keep the token of an invitation"))
    }

    /// Takes an open invitation of a tenant back; `false` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was changed; safe to repeat.
    pub async fn withdraw(
        &self,
        tenant_id: TenantId,
        id: InvitationId,
        (actor, now_ms): (&Actor, i64),
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin_write(DOING_END).await?;
        if !tx.end_invitation((tenant_id, id), InvitationState::Withdrawn, DOING_END).await? {
            return Ok(false);
        }
        let deed = Deed {
            action: "team.invitation_withdrawn".to_owned(),
            subject: id.to_string(),
            tenant_id: Some(tenant_id),
            details: serde_json::json!({}),
        };
        tx.write_deed(actor, &deed, now_ms, DOING_END).await?;
        tx.commit(DOING_END).await?;
        Ok(true)
    }

    /// Uses an invitation up and makes its reader a member; of two calls at once one does.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was changed.
    pub async fn accept(&self, invitation: &InvitationRecord, user: &UserRecord) -> Result<Accepted, StoreError> {
        let mut tx = self.store.begin_write(DOING_ACCEPT).await?;
        // Whoever invited may be losing the right to at this moment.
        tx.hold_tenant(invitation.tenant_id, DOING_ACCEPT).await?;
        let key = (invitation.tenant_id, invitation.id);
        if !tx.end_invitation(key, InvitationState::Accepted, DOING_ACCEPT).await? {
            return Ok(Accepted::NotOpen);
        }
        let sql = INSERT_USER.of(self.store.pool());
        let inserted = with_tx!(&mut tx, |db| {
            let query = sqlx::query(sql).bind(user.id.0).bind(user.tenant_id.0).bind(&user.email).bind(&user.name);
            let query = query.bind(user.password_hash.expose_secret()).bind(user.role.as_str());
            let query = query.bind(user.created_at_ms).bind(user.email_verified_at_ms);
            query.execute(db).await.map(|done| done.rows_affected())
        });
        if inserted.map_err(StoreError::database(DOING_ACCEPT))? == 0 {
            return Ok(Accepted::Taken);
        }
        let details = serde_json::json!({ "role": user.role.as_str(), "userId": user.id.to_string() });
        let deed = deed("team.joined", invitation, details);
        tx.write_deed(&Actor::user(user.id), &deed, user.created_at_ms, DOING_ACCEPT).await?;
        tx.commit(DOING_ACCEPT).await?;
        Ok(Accepted::Done)
    }

    /// Removes up to `n_max` invitations that expired before `before_ms`, of all tenants; returns how many.
    ///
    /// # Errors
    /// [`StoreError::Database`] when none was removed; safe to repeat.
    pub async fn forget_expired(&self, before_ms: i64, n_max: u32) -> Result<u64, StoreError> {
        let sql = FORGET.of(self.store.pool());
        let forgotten = with_writer!(self.store.pool(), |db| {
            let query = sqlx::query(sql).bind(before_ms).bind(i64::from(n_max));
            query.execute(db).await.map(|done| done.rows_affected())
        });
        forgotten.map_err(StoreError::database("forget invitations"))
    }
}

fn deed(action: &str, invitation: &InvitationRecord, details: serde_json::Value) -> Deed {
    let subject = invitation.id.to_string();
    Deed { action: action.to_owned(), subject, tenant_id: Some(invitation.tenant_id), details }
}

impl Tx {
    /// Takes back what somebody of a tenant gave out.
    pub(in crate::store) async fn withdraw_invitations_by(
        &mut self,
        tenant_id: TenantId,
        by: UserId,
    ) -> Result<(), StoreError> {
        let sql = END_BY.postgres();
        with_tx!(self, |db| sqlx::query(sql).bind(tenant_id.0).bind(by.0).execute(db).await.map(drop))
            .map_err(StoreError::database(DOING_END))
    }

    /// Returns in whose team somebody with this address is.
    async fn whose_address(&mut self, email: &str, doing: &'static str) -> Result<Option<TenantId>, StoreError> {
        let sql = IS_TAKEN.postgres();
        let found: Option<Uuid> = with_tx!(self, |db| sqlx::query_scalar(sql).bind(email).fetch_optional(db).await)
            .map_err(StoreError::database(doing))?;
        Ok(found.map(TenantId))
    }

    /// Ends what the invitation replaces; tells whether there is room for it.
    async fn make_room(&mut self, new: &InvitationRecord, n_max: i64) -> Result<bool, StoreError> {
        let (replaced, count) = (END_OF_ADDRESS.postgres(), COUNT_GOOD.postgres());
        let (tenant_id, now_ms) = (new.tenant_id.0, new.created_at_ms);
        let n_open: Result<i64, sqlx::Error> = with_tx!(self, |db| async {
            sqlx::query(replaced).bind(tenant_id).bind(&new.email).execute(&mut *db).await?;
            sqlx::query_scalar(count).bind(tenant_id).bind(now_ms).fetch_one(&mut *db).await
        }
        .await);
        Ok(n_open.map_err(StoreError::database(DOING_INVITE))? < n_max)
    }

    /// Ends an open invitation; `false` when there is none.
    async fn end_invitation(
        &mut self,
        (tenant_id, id): (TenantId, InvitationId),
        state: InvitationState,
        doing: &'static str,
    ) -> Result<bool, StoreError> {
        let sql = END.postgres();
        let ended: Option<String> = with_tx!(self, |db| {
            sqlx::query_scalar(sql).bind(id.0).bind(tenant_id.0).bind(state.as_str()).fetch_optional(db).await
        })
        .map_err(StoreError::database(doing))?;
        Ok(ended.is_some())
    }
}

#[derive(FromRow)]
struct InvitationRow {
    invitation_id: Uuid,
    tenant_id: Uuid,
    tenant_name: String,
    email: String,
    role: String,
    state: String,
    invited_by: Uuid,
    created_at_ms: i64,
    expires_at_ms: i64,
}

impl TryFrom<InvitationRow> for InvitationRecord {
    type Error = StoreError;

    fn try_from(row: InvitationRow) -> Result<Self, StoreError> {
        let place = RowPlace { table: "invitations", key: row.invitation_id };
        Ok(Self {
            id: InvitationId(row.invitation_id),
            tenant_id: TenantId(row.tenant_id),
            tenant_name: row.tenant_name,
            email: row.email,
            role: place.known("role", Role::parse(&row.role))?,
            state: place.known("state", InvitationState::parse(&row.state))?,
            invited_by: UserId(row.invited_by),
            created_at_ms: row.created_at_ms,
            expires_at_ms: row.expires_at_ms,
        })
    }
}
