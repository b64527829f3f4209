//! Requests for a decision.

use herald_jobs::authorisation::NewAuthorisation;
use herald_jobs::refusal::Refusal;
use herald_jobs::store;
use herald_jobs::store::authorisations::Authorisation;
use sqlx::postgres::PgDatabaseError;
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use crate::{MessageId, Producer, SendError};

/// A request that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requested {
    /// The authorisation's id.
    pub id: Uuid,
}

impl Producer {
    /// Asks people for a decision on a record; with a key once. It is kept when this answers, and the messages are on their way.
    ///
    /// # Errors
    /// [`SendError`], naming the field; nobody was asked then.
    pub async fn request_authorisation(
        &self,
        request: &NewAuthorisation,
        key: Option<&str>,
    ) -> Result<Requested, SendError> {
        self.authorise(self.pool(), request, key).await
    }

    /// The same inside the caller's own transaction: a rollback leaves nothing.
    ///
    /// # Errors
    /// [`SendError`]; the transaction cannot go on then.
    pub async fn request_authorisation_in(
        &self,
        transaction: &mut PgConnection,
        request: &NewAuthorisation,
    ) -> Result<Requested, SendError> {
        self.authorise(transaction, request, None).await
    }

    async fn authorise(
        &self,
        executor: impl PgExecutor<'_>,
        request: &NewAuthorisation,
        key: Option<&str>,
    ) -> Result<Requested, SendError> {
        let (sent_by, now) = (self.sent_by().unwrap_or("a program"), self.clock().now());
        let taken = store::authorisations::request(executor, request, key, sent_by, now).await;
        taken.map(|id| Requested { id }).map_err(|error| refused(&error).unwrap_or_else(|| error.into()))
    }

    /// Withdraws a request: the messages that wait close themselves. `false`: it was withdrawn before.
    ///
    /// # Errors
    /// [`SendError::TooLate`] where it was decided; [`SendError::Refused`] where there is none.
    pub async fn withdraw_authorisation(&self, id: Uuid, reason: Option<&str>) -> Result<bool, SendError> {
        store::authorisations::withdraw(self.pool(), id, reason)
            .await
            .map_err(|error| refused(&error).unwrap_or_else(|| error.into()))
    }

    /// How an authorisation stands; `None` where there is none.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn authorisation(&self, id: Uuid) -> Result<Option<Authorisation>, SendError> {
        Ok(store::authorisations::get(self.pool(), id).await?)
    }
}

/// What the database's functions say against an argument.
fn refused(error: &sqlx::Error) -> Option<SendError> {
    let said = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    let field = said.column()?;
    let problem =
        said.message().strip_prefix(field).map_or(said.message(), |rest| rest.trim_start_matches(": "));
    Some(match said.code() {
        "22023" => Refusal::new(field, problem).into(),
        "23505" => {
            let id = problem.rsplit(' ').next().and_then(|id| id.parse().ok());
            SendError::KeyTaken(MessageId(id.unwrap_or_default()))
        }
        "55000" => SendError::TooLate(problem.to_owned()),
        _ => return None,
    })
}
