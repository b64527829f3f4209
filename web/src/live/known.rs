//! What a page knows, as the id of the last event that it had. A page that lost its stream gives it back, to whichever process,
//! and is told of what changed since, and of nothing else.

use std::fmt::{self, Display, Formatter};

use herald_jobs::store::inbox::Counts;
use uuid::Uuid;

use super::Badge;

/// Alerts that an id names at most: more than are ever told at once.
const MOST: usize = 16;

/// What a page was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// `None`: nothing yet.
    pub(super) badge: Option<Badge>,
    /// The alerts of which there was a notice.
    pub(super) told: Vec<Uuid>,
}

impl Known {
    /// Reads an id. One that is not ours stands for a page that knows nothing.
    pub(super) fn read(id: &str) -> Self {
        Self::parse(id).unwrap_or_default()
    }

    fn parse(id: &str) -> Option<Self> {
        let mut parts = id.split('.');
        let counts = Counts { alerts: parts.next()?.parse().ok()?, messages: parts.next()?.parse().ok()? };
        let mut newest = || -> Option<Option<Uuid>> {
            match parts.next()? {
                "" => Some(None),
                id => Uuid::try_parse(id).ok().map(Some),
            }
        };
        let badge = Badge { counts, newest_alert: newest()?, newest_message: newest()? };
        let told = parts.take(MOST).map(Uuid::try_parse).collect::<Result<_, _>>().ok()?;
        Some(Self { badge: Some(badge), told })
    }
}

impl Display for Known {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Badge { counts, newest_alert, newest_message } = self.badge.unwrap_or_default();
        write!(f, "{}.{}", counts.alerts, counts.messages)?;
        for newest in [newest_alert, newest_message] {
            write!(f, ".{}", newest.map(|id| id.simple().to_string()).unwrap_or_default())?;
        }
        self.told.iter().try_for_each(|id| write!(f, ".{}", id.simple()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_what_the_page_knows() {
        for (newest_alert, told) in
            [(None, vec![]), (Some(Uuid::max()), vec![Uuid::max(), Uuid::from_u128(7)])]
        {
            let counts = Counts { alerts: 2, messages: 30 };
            let known = Known { badge: Some(Badge { counts, newest_alert, newest_message: None }), told };
            assert_eq!(Known::read(&known.to_string()), known);
        }
        for foreign in ["", "1", "1.2", "1.2.x.", "a.b..", "1.2...x", "-"] {
            assert_eq!(Known::read(foreign), Known::default(), "{foreign:?}");
        }
    }
}
