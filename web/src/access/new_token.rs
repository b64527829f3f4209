//! What is asked for when somebody makes an API token.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use herald_jobs::refusal::{Refusal, check_line};
use herald_jobs::send::MAX_SENDER;
use herald_jobs::store::change::ChangeError;
use herald_jobs::store::{self, PgPool};

use super::NewToken;

/// Longest name, in characters.
const MAX_NAME: usize = 100;

/// A token as people ask for one.
#[derive(Clone, Debug, Default)]
pub struct WantedToken {
    /// What it is for, as lists show it.
    pub name: String,
    /// Who its messages may come from; the first one where they do not say.
    pub senders: Vec<String>,
    /// The only message types that it may send; none: any.
    pub message_types: Vec<String>,
    /// Messages a minute at most.
    pub rate: Option<i32>,
    /// May maintain everything, log in as anybody and answer for anybody.
    pub admin: bool,
    /// Days from now, or a date such as 2027-01-31, its last day (UTC); `None`: it does not end.
    pub expires: Option<String>,
}

impl WantedToken {
    /// The token that is to be made of this at `now`.
    ///
    /// # Errors
    /// Names `name`, `sender`, `type`, `rate` or `expires`; or the database cannot be reached.
    pub async fn read(self, pool: &PgPool, now: DateTime<Utc>) -> Result<NewToken, ChangeError> {
        check_line("name", &self.name, MAX_NAME)?;
        if self.senders.is_empty() {
            return Err(Refusal::new("sender", "is needed: a model's name or a username").into());
        }
        for sender in &self.senders {
            check_line("sender", sender, MAX_SENDER)?;
        }
        if self.rate.is_some_and(|rate| rate < 1) {
            return Err(Refusal::new("rate", "must be at least 1").into());
        }
        let life = self.expires.map(|text| life(&text, now)).transpose()?;
        for code in &self.message_types {
            let known = !code.contains('\0') && store::message_types::get(pool, code).await?.is_some();
            if !known {
                return Err(Refusal::new("type", format!("there is no message type {code}")).into());
            }
        }
        let mut senders = self.senders.into_iter();
        Ok(NewToken {
            name: self.name,
            sender: senders.next().unwrap_or_default(),
            senders: senders.collect(),
            message_types: (!self.message_types.is_empty()).then_some(self.message_types),
            rate: self.rate,
            admin: self.admin,
            life,
        })
    }
}

/// How long a token lasts that ends then.
fn life(text: &str, now: DateTime<Utc>) -> Result<TimeDelta, Refusal> {
    let refuse = |problem: &str| Refusal::new("expires", problem);
    let life = match text.trim().parse::<u32>() {
        Ok(days) => TimeDelta::days(days.into()),
        Err(_) => {
            let date: NaiveDate = text
                .trim()
                .parse()
                .map_err(|_| refuse("must be a number of days or a date such as 2027-01-31"))?;
            let end = date.succ_opt().and_then(|next| next.and_hms_opt(0, 0, 0));
            end.ok_or_else(|| refuse("is too far away"))?.and_utc() - now
        }
    };
    if life <= TimeDelta::zero() {
        return Err(refuse("must be a time to come"));
    }
    now.checked_add_signed(life).map(|_| life).ok_or_else(|| refuse("is too far away"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_ends_after_days_or_with_a_day() {
        let now = "2026-07-01T12:00:00Z".parse().unwrap();
        assert_eq!(life("30", now), Ok(TimeDelta::days(30)));
        assert_eq!(life(" 2026-07-01 ", now), Ok(TimeDelta::hours(12)));
        for bad in ["", "soon", "0", "2026-06-30", "-1", "4294967295"] {
            assert_eq!(life(bad, now).unwrap_err().field, "expires", "{bad}");
        }
    }
}
