//! One transaction on either database.
//!
//! Only for methods whose writes belong together; what is written by one statement needs none.

/// Runs the body in one transaction, with `$tx` bound to its connection, and commits.
///
/// Leaving the body early, by `?` or `return`, rolls back. SQLite takes its write lock at the
/// beginning, so that reading first and writing then cannot fail for having read.
#[macro_export]
macro_rules! with_transaction {
    ($pool:expr, $doing:expr, |$tx:ident| $body:expr) => {
        match $pool {
            $crate::store::Pool::Postgres(db) => {
                let mut transaction = db.begin().await.map_err($crate::store::StoreError::database($doing))?;
                let $tx = &mut *transaction;
                let done = $body;
                transaction.commit().await.map_err($crate::store::StoreError::database($doing))?;
                done
            }
            $crate::store::Pool::Sqlite { writer, .. } => {
                let begun = writer.begin_with("BEGIN IMMEDIATE").await;
                let mut transaction = begun.map_err($crate::store::StoreError::database($doing))?;
                let $tx = &mut *transaction;
                let done = $body;
                transaction.commit().await.map_err($crate::store::StoreError::database($doing))?;
                done
            }
        }
    };
}
