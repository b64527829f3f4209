//! Finding among one recipient's messages: full text, sender, type, state and dates.
//!
//! There is no index of the words: it would cost each message that comes more than its insert does, for what few recipients
//! ever ask. A look goes through a slice of the recipient's own rows, newest first, and says where the next one begins.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::inbox::{InboxMessage, Standing};

/// Rows that one look goes through at most: some 60 ms of a core where each must be read for its words.
const SLICE: i64 = 10_000;
/// By how much the time in an id may differ from when its message was accepted.
const SLACK: TimeDelta = TimeDelta::days(1);

/// How the messages stand that are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// They wait for their recipient.
    #[default]
    Waiting,
    /// They wait, and were not seen.
    Unseen,
    /// They do not wait any more.
    Done,
    /// They were acted on.
    Acted,
    /// They were cancelled or withdrawn.
    TakenBack,
}

/// What is looked for. What is empty does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Among alerts; else among messages.
    pub alert: bool,
    /// Beginnings of words, in any order; all must stand in the subject, the text or the sender.
    pub words: String,
    /// A part of the sender's name and instance.
    pub sender: String,
    /// A type's code.
    pub message_type: String,
    /// How they stand.
    pub state: State,
    /// Accepted at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Accepted before this time.
    pub until: Option<DateTime<Utc>>,
}

/// A page of what was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Newest first.
    pub rows: Vec<(InboxMessage, Standing)>,
    /// Where to go on looking; `None`: this is all.
    pub next: Option<Uuid>,
}

/// One page of at most `limit` messages; `before` continues an earlier one.
///
/// # Errors
/// The database cannot be reached.
pub async fn find(
    pool: &PgPool,
    recipient: i64,
    search: &Search,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Found, sqlx::Error> {
    let upper =
        search.until.map_or(Uuid::max(), |until| first_id(until + SLACK)).min(before.unwrap_or(Uuid::max()));
    let lower = search.from.map_or(Uuid::nil(), |from| first_id(from - SLACK));
    let within = Within { recipient, alert: search.alert, waiting: search.is_waiting(), upper, lower };
    let words = Words::read(pool, search.words.trim()).await?;
    let mut rows = look(pool, &within, search, &words, limit + 1).await?;
    let last = usize::try_from(limit).unwrap_or(usize::MAX);
    let next = if rows.len() > last {
        rows.truncate(last);
        rows.last().map(|(message, _)| message.id)
    } else {
        end_of_slice(pool, &within).await?
    };
    Ok(Found { rows, next })
}

impl Search {
    fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting | State::Unseen)
    }
}

/// The rows that are looked through.
struct Within {
    recipient: i64,
    alert: bool,
    waiting: bool,
    upper: Uuid,
    lower: Uuid,
}

/// The first id (uuid v7) that could have been made at this time.
fn first_id(at: DateTime<Utc>) -> Uuid {
    let milliseconds = u128::try_from(at.timestamp_millis()).unwrap_or(0).min((1 << 48) - 1);
    Uuid::from_u128(milliseconds << 80)
}

/// The words as Postgres reads them.
#[derive(Default)]
struct Words {
    /// Patterns that a text must match, whatever its case: most rows are told by them alone, without being parsed.
    patterns: Option<Vec<String>>,
    /// The query; `None`: signs only, which are no words.
    query: Option<String>,
}

impl Words {
    async fn read(pool: &PgPool, words: &str) -> Result<Self, sqlx::Error> {
        if words.is_empty() {
            return Ok(Self::default());
        }
        let read = sqlx::query!(
            // "PO-4711" is found by "4711": what Postgres would keep together is taken apart on both sides.
            r#"select tsvector_to_array(to_tsvector('simple', translate($1, '-_/.@:', '      '))) as "lexemes!",
                      lower($1) as "lower!""#,
            words
        )
        .fetch_one(pool)
        .await?;
        if read.lexemes.is_empty() {
            return Ok(Self { patterns: Some(vec![pattern(&read.lower)]), query: None });
        }
        let quoted = |lexeme: &String| format!("'{}':*", lexeme.replace('\\', "\\\\").replace('\'', "''"));
        let query = read.lexemes.iter().map(quoted).collect::<Vec<_>>().join(" & ");
        Ok(Self {
            patterns: Some(read.lexemes.iter().map(|lexeme| pattern(lexeme)).collect()),
            query: Some(query),
        })
    }
}

/// Matches what holds this text.
fn pattern(text: &str) -> String {
    format!("%{}%", text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"))
}

/// The statement of [`look`]: each state's rows have an index of their own, which a statement must name to use it.
macro_rules! look_statement {
    ($state:literal, $within:expr, $search:expr, $words:expr, $limit:expr) => {
        sqlx::query!(
            r#"select id as "id!", alert as "alert!", message_type as "message_type!", required_action as "required_action!",
                    choice_set, action_url, action_parameters, complete_on as "complete_on!", subject as "subject!",
                    message_text as "message_text!", sender as "sender!", sender_instance, created_at as "created_at!", seen_at,
                    expires_at, status as "status!", reply_value, acted_at, acted_by, acted_via, closed_reason
             from (select m.*, m.sender || ' ' || coalesce(m.sender_instance, '') as whom,
                          m.subject || ' ' || left(m.message_text, 20000) || ' ' || m.sender || ' '
                              || coalesce(m.sender_instance, '') as words
                   from herald.current_message m
                   where m.recipient_id = $1 and m.alert = $2 and m.status "# + $state + r#" and m.id < $3 and m.id >= $4
                   order by m.id desc limit $5) as slice
             where ($6::text is null or message_type = $6)
               and ($7::text is null or lower(whom) like lower($7))
               and ($8::timestamptz is null or created_at >= $8)
               and ($9::timestamptz is null or created_at < $9)
               and (not $10::bool or seen_at is null)
               and ($11::text[] is null or status = any($11))
               and ($12::text[] is null or lower(words) like all ($12))
               and ($13::text is null or to_tsvector('simple', translate(words, '-_/.@:', '      ')) @@ $13::text::tsquery)
             order by id desc limit $14"#,
            $within.recipient,
            $within.alert,
            $within.upper,
            $within.lower,
            SLICE,
            Some($search.message_type.as_str()).filter(|code| !code.is_empty()),
            Some($search.sender.trim()).filter(|sender| !sender.is_empty()).map(pattern),
            $search.from,
            $search.until,
            $search.state == State::Unseen,
            statuses($search.state) as Option<&[String]>,
            $words.patterns.as_deref() as Option<&[String]>,
            $words.query,
            $limit
        )
    };
}

async fn look(
    pool: &PgPool,
    within: &Within,
    search: &Search,
    words: &Words,
    limit: i64,
) -> Result<Vec<(InboxMessage, Standing)>, sqlx::Error> {
    macro_rules! rows {
        ($rows:expr) => {
            $rows
                .into_iter()
                .map(|row| {
                    let message = InboxMessage {
                        id: row.id,
                        alert: row.alert,
                        message_type: row.message_type,
                        required_action: row.required_action.into(),
                        choice_set: row.choice_set,
                        action_url: row.action_url,
                        action_parameters: row.action_parameters,
                        complete_on: row.complete_on.into(),
                        subject: row.subject,
                        message_text: row.message_text,
                        sender: row.sender,
                        sender_instance: row.sender_instance,
                        created_at: row.created_at,
                        seen_at: row.seen_at,
                        expires_at: row.expires_at,
                    };
                    let standing = Standing {
                        status: row.status,
                        reply_value: row.reply_value,
                        acted_at: row.acted_at,
                        acted_by: row.acted_by,
                        acted_via: row.acted_via.map(Into::into),
                        closed_reason: row.closed_reason,
                    };
                    (message, standing)
                })
                .collect()
        };
    }
    Ok(if within.waiting {
        rows!(look_statement!("= 'pending'", within, search, words, limit).fetch_all(pool).await?)
    } else {
        rows!(look_statement!("<> 'pending'", within, search, words, limit).fetch_all(pool).await?)
    })
}

fn statuses(state: State) -> Option<&'static [String]> {
    use std::sync::LazyLock;
    static ACTED: LazyLock<[String; 1]> = LazyLock::new(|| ["acted".to_owned()]);
    static TAKEN_BACK: LazyLock<[String; 2]> =
        LazyLock::new(|| ["cancelled".to_owned(), "withdrawn".to_owned()]);
    match state {
        State::Waiting | State::Unseen | State::Done => None,
        State::Acted => Some(&*ACTED),
        State::TakenBack => Some(&*TAKEN_BACK),
    }
}

/// The last row of a slice, if there are more behind it.
async fn end_of_slice(pool: &PgPool, within: &Within) -> Result<Option<Uuid>, sqlx::Error> {
    let Within { recipient, alert, waiting, upper, lower } = *within;
    if waiting {
        sqlx::query_scalar!(
            r#"select id as "id!" from herald.current_message
             where recipient_id = $1 and alert = $2 and status = 'pending' and id < $3 and id >= $4
             order by id desc offset $5 limit 1"#,
            recipient,
            alert,
            upper,
            lower,
            SLICE - 1
        )
        .fetch_optional(pool)
        .await
    } else {
        sqlx::query_scalar!(
            r#"select id as "id!" from herald.current_message
             where recipient_id = $1 and alert = $2 and status <> 'pending' and id < $3 and id >= $4
             order by id desc offset $5 limit 1"#,
            recipient,
            alert,
            upper,
            lower,
            SLICE - 1
        )
        .fetch_optional(pool)
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_bounded_by_time() {
        let at: DateTime<Utc> = "2026-07-01T22:30:00Z".parse().unwrap();
        assert!(first_id(at) < first_id(at + TimeDelta::milliseconds(1)));
        assert_eq!(first_id(at).as_u128() >> 80, u128::try_from(at.timestamp_millis()).unwrap());
        assert_eq!(first_id(DateTime::<Utc>::MIN_UTC), Uuid::nil());
        assert!(first_id(DateTime::<Utc>::MAX_UTC) < Uuid::max());
    }

    #[test]
    fn signs_of_patterns_stand_for_themselves() {
        assert_eq!(pattern("50%_\\"), "%50\\%\\_\\\\%");
    }
}
