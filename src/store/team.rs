//! The people of a tenant: listed, given roles, removed.
//!
//! Whoever changes a team holds the row of its tenant, so that two changes at once see each other. What may be changed is
//! decided by [`crate::domain::team`], on roles read under that lock.

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::id::{TenantId, UserId};
use crate::domain::team::{MemberChange, Standing, TeamRefusal};
use crate::domain::user::Role;
use crate::store::audit::{Actor, Deed};
use crate::store::column::RowPlace;
use crate::store::page::{Page, PageRequest};
use crate::store::tx::{Tx, with_tx};
use crate::store::{Sql, Store, StoreError};
use crate::with_reader;

const LIST: Sql = Sql::portable(
    "SELECT user_id, email, email_verified_at_ms, name, role, created_at_ms FROM users \
     WHERE tenant_id = $1 AND role <> 'operator' ORDER BY created_at_ms, user_id LIMIT $2 OFFSET $3",
);
const COUNT: Sql = Sql::portable("SELECT COUNT(*) FROM users WHERE tenant_id = $1 AND role <> 'operator'");
const FIND: Sql = Sql::portable(
    "SELECT user_id, email, email_verified_at_ms, name, role, created_at_ms FROM users \
     WHERE tenant_id = $1 AND user_id = $2 AND role <> 'operator'",
);
const ROLE_OF: Sql = Sql::portable("SELECT role FROM users WHERE tenant_id = $1 AND user_id = $2");
const COUNT_OWNERS: Sql = Sql::portable("SELECT COUNT(*) FROM users WHERE tenant_id = $1 AND role = 'owner'");
const SET_ROLE: Sql = Sql::portable("UPDATE users SET role = $3 WHERE tenant_id = $1 AND user_id = $2");
/// What was sent by mail goes with it.
const REMOVE: Sql = Sql::portable("DELETE FROM users WHERE tenant_id = $1 AND user_id = $2");
const RENAME: Sql = Sql::portable("UPDATE tenants SET name = $2 WHERE tenant_id = $1");

const DOING_LIST: &str = "list the members of a team";
const DOING_CHANGE: &str = "change a team";
const DOING_RENAME: &str = "rename a tenant";

/// Somebody of a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRecord {
    /// The person.
    pub id: UserId,
    /// Address to log in with.
    pub email: String,
    /// Whether it was proved that mail to that address arrives.
    pub is_email_verified: bool,
    /// What the person is called.
    pub name: String,
    /// What the person may do.
    pub role: Role,
    /// Since when, UTC milliseconds.
    pub created_at_ms: i64,
}

/// What came of asking for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChanged {
    /// It was made, or held already.
    Done,
    /// There is no such member.
    NotFound,
    /// It may not be made.
    Refused(TeamRefusal),
}

/// The teams in the database.
#[derive(Debug, Clone, Copy)]
pub struct Team<'a> {
    store: &'a Store,
}

impl Store {
    /// Returns the teams.
    #[must_use]
    pub fn team(&self) -> Team<'_> {
        Team { store: self }
    }
}

impl Team<'_> {
    /// Lists the members of a team, who joined first first.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when a row is not readable.
    pub async fn list(&self, tenant_id: TenantId, page: PageRequest) -> Result<Page<MemberRecord>, StoreError> {
        let pool = self.store.pool();
        let (count, list) = (COUNT.of(pool), LIST.of(pool));
        let total: i64 = with_reader!(pool, |db| sqlx::query_scalar(count).bind(tenant_id.0).fetch_one(db).await)
            .map_err(StoreError::database(DOING_LIST))?;
        let rows = with_reader!(pool, |db| {
            let query = sqlx::query_as::<_, MemberRow>(list).bind(tenant_id.0);
            query.bind(i64::from(page.limit())).bind(page.offset()).fetch_all(db).await
        });
        let rows = rows.map_err(StoreError::database(DOING_LIST))?;
        let items = rows.into_iter().map(MemberRecord::try_from).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }

    /// Finds a member of a team.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it could not be read, [`StoreError::Corrupt`] when a row is not readable.
    pub async fn find(&self, tenant_id: TenantId, id: UserId) -> Result<Option<MemberRecord>, StoreError> {
        let sql = FIND.of(self.store.pool());
        let row = with_reader!(self.store.pool(), |db| {
            sqlx::query_as::<_, MemberRow>(sql).bind(tenant_id.0).bind(id.0).fetch_optional(db).await
        });
        row.map_err(StoreError::database(DOING_LIST))?.map(MemberRecord::try_from).transpose()
    }

    /// Changes what becomes of a member, if whoever asks may; log-ins of one who is removed end with it, and so do
    /// invitations by one who may do less from now on.
    ///
    /// # Errors
    /// [`StoreError::Database`] when nothing was changed; safe to repeat.
    pub async fn change(
        &self,
        (tenant_id, by, member): (TenantId, UserId, UserId),
        change: MemberChange,
        (actor, now_ms): (&Actor, i64),
    ) -> Result<MemberChanged, StoreError> {
        let mut tx = self.store.begin_write(DOING_CHANGE).await?;
        tx.hold_tenant(tenant_id, DOING_CHANGE).await?;
        let Some(before) = tx.role_of(tenant_id, member).await?.filter(|role| role.is_of_team()) else {
            return Ok(MemberChanged::NotFound);
        };
        let sql = COUNT_OWNERS.of(self.store.pool());
        let n_owners = with_tx!(&mut tx, |db| sqlx::query_scalar(sql).bind(tenant_id.0).fetch_one(db).await);
        let n_owners = n_owners.map_err(StoreError::database(DOING_CHANGE))?;
        let standing = Standing { by: tx.role_of(tenant_id, by).await?, member: before, n_owners };
        if let Err(refusal) = change.check(standing) {
            return Ok(MemberChanged::Refused(refusal));
        }
        if change == MemberChange::Role(before) {
            return Ok(MemberChanged::Done);
        }
        match change {
            MemberChange::Role(role) => tx.set_role(tenant_id, member, role).await?,
            MemberChange::Remove => tx.remove_member(tenant_id, member).await?,
            MemberChange::MakeOwner => {
                tx.set_role(tenant_id, member, Role::Owner).await?;
                tx.set_role(tenant_id, by, Role::Admin).await?;
                tx.withdraw_invitations_by(tenant_id, by).await?;
            }
        }
        if change.lowers(before) {
            tx.withdraw_invitations_by(tenant_id, member).await?;
        }
        tx.write_deed(actor, &deed((tenant_id, by, member), change, before), now_ms, DOING_CHANGE).await?;
        tx.commit(DOING_CHANGE).await?;
        Ok(MemberChanged::Done)
    }

    /// Gives a tenant another name.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it was not written; safe to repeat.
    pub async fn rename_tenant(
        &self,
        tenant_id: TenantId,
        name: &str,
        (actor, now_ms): (&Actor, i64),
    ) -> Result<(), StoreError> {
        let mut tx = self.store.begin_write(DOING_RENAME).await?;
        let sql = RENAME.of(self.store.pool());
        with_tx!(&mut tx, |db| sqlx::query(sql).bind(tenant_id.0).bind(name).execute(db).await.map(drop))
            .map_err(StoreError::database(DOING_RENAME))?;
        let deed = Deed {
            action: "tenant.renamed".to_owned(),
            subject: tenant_id.to_string(),
            tenant_id: Some(tenant_id),
            details: serde_json::json!({}),
        };
        tx.write_deed(actor, &deed, now_ms, DOING_RENAME).await?;
        tx.commit(DOING_RENAME).await
    }
}

/// Says what was done to a member, with the roles before and after.
fn deed((tenant_id, by, member): (TenantId, UserId, UserId), change: MemberChange, before: Role) -> Deed {
    let before = before.as_str();
    let (action, details) = match change {
        MemberChange::Role(role) => {
            ("team.role_changed", serde_json::json!({ "before": before, "after": role.as_str() }))
        }
        MemberChange::Remove => ("team.removed", serde_json::json!({ "before": before, "after": null })),
        MemberChange::MakeOwner => (
            "team.owner_made",
            serde_json::json!({ "before": before, "after": Role::Owner.as_str(), "ownerBefore": by.to_string() }),
        ),
    };
    Deed { action: action.to_owned(), subject: member.to_string(), tenant_id: Some(tenant_id), details }
}

impl Tx {
    /// Returns the role of somebody of a tenant; none when there is no such person any more.
    pub(in crate::store) async fn role_of(
        &mut self,
        tenant_id: TenantId,
        id: UserId,
    ) -> Result<Option<Role>, StoreError> {
        let sql = ROLE_OF.postgres();
        let word: Option<String> =
            with_tx!(self, |db| sqlx::query_scalar(sql).bind(tenant_id.0).bind(id.0).fetch_optional(db).await)
                .map_err(StoreError::database(DOING_CHANGE))?;
        let place = RowPlace { table: "users", key: id };
        word.map(|word| place.known("role", Role::parse(&word))).transpose()
    }

    async fn set_role(&mut self, tenant_id: TenantId, id: UserId, role: Role) -> Result<(), StoreError> {
        let sql = SET_ROLE.postgres();
        with_tx!(self, |db| {
            sqlx::query(sql).bind(tenant_id.0).bind(id.0).bind(role.as_str()).execute(db).await.map(drop)
        })
        .map_err(StoreError::database(DOING_CHANGE))
    }

    /// Removes a person with all log-ins; the row is held before, so that no log-in is added meanwhile.
    async fn remove_member(&mut self, tenant_id: TenantId, id: UserId) -> Result<(), StoreError> {
        self.lock_user(id, DOING_CHANGE).await?;
        self.delete_families(id, None, DOING_CHANGE).await?;
        let sql = REMOVE.postgres();
        with_tx!(self, |db| sqlx::query(sql).bind(tenant_id.0).bind(id.0).execute(db).await.map(drop))
            .map_err(StoreError::database(DOING_CHANGE))
    }
}

#[derive(FromRow)]
struct MemberRow {
    user_id: Uuid,
    email: String,
    email_verified_at_ms: Option<i64>,
    name: String,
    role: String,
    created_at_ms: i64,
}

impl TryFrom<MemberRow> for MemberRecord {
    type Error = StoreError;

    fn try_from(row: MemberRow) -> Result<Self, StoreError> {
        let place = RowPlace { table: "users", key: row.user_id };
        Ok(Self {
            id: UserId(row.user_id),
            email: row.email,
            is_email_verified: row.email_verified_at_ms.is_some(),
            name: row.name,
            role: place.known("role", Role::parse(&row.role))?,
            created_at_ms: row.created_at_ms,
        })
    }
}
