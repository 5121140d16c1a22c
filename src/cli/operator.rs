//! The command `grant-operator`: who may look at how the work is divided.

use anyhow::Context;
use clap::Args;

use super::{ConfigArgs, Failure, Outcome, block_on, print};
use crate::api::timestamp::Timestamp;
use crate::domain::user::Role;
use crate::error::Error;
use crate::service::operators;
use crate::store::Store;
use crate::store::users::UserRecord;

/// Lets an account see the operations of the platform, or takes that back.
///
/// The account must have been registered over the REST front, for a business without sessions. Works on the
/// configured database, whether the daemon runs or not, and holds from the next call on. Compare what it prints
/// with whom you meant: nobody checks that an address belongs to whoever registered it.
#[derive(Debug, Args)]
pub(super) struct GrantOperatorArgs {
    /// The address that the account logs in with.
    email: String,
    /// Makes an operator's account an owner's again.
    #[arg(long)]
    revoke: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

impl GrantOperatorArgs {
    pub(super) fn run(self) -> Outcome {
        let config = self.config.load()?;
        let done = block_on(async {
            let store = Store::open(config.store.url.expose(), 1).await.context("open the database")?;
            let done = match self.revoke {
                false => operators::grant(&store, &self.email).await,
                true => operators::revoke(&store, &self.email).await,
            };
            store.close().await;
            Ok::<_, anyhow::Error>(done)
        })??;
        let user = done.map_err(refused)?;
        print(format!("{}\n", describe(&user)).as_bytes())
    }
}

fn describe(user: &UserRecord) -> String {
    let UserRecord { email, name, tenant_name, created_at_ms, .. } = user;
    let role = if user.role == Role::Operator { "operator" } else { "no operator" };
    let since = Timestamp(*created_at_ms).to_text();
    format!("{email} is {role} now: {name} of {tenant_name}, registered {since}")
}

fn refused(error: Error) -> Failure {
    let problem = match error {
        Error::NotFound(kind) => anyhow::anyhow!("there is no such {kind}: it must be registered first"),
        Error::Conflict { message, .. } => anyhow::anyhow!(message),
        error => anyhow::Error::new(error).context("change the account's role"),
    };
    Failure::Failed(problem)
}
