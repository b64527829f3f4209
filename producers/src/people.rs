//! Users out of a CSV file: all of them, or none.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::Read;

use herald_jobs::account::Account;
use herald_jobs::address::Username;
use herald_jobs::refusal::Refusal;
use herald_jobs::store::users::{Imported, NewUser};
use herald_jobs::store::{self, PgPool};
use serde::Deserialize;

use crate::numbers::{self, Region};

/// The columns that there are.
const COLUMNS: [&str; 6] = ["username", "display_name", "email", "mobile", "locale", "time_zone"];
/// Problems that are told; a file that has nothing to do with users has one in every row.
const MOST_TOLD: usize = 100;

/// A user as people write one. What is empty keeps what is there.
#[derive(Clone, Debug, Default, Deserialize)]
#[expect(missing_docs, reason = "they are those of an account")]
pub struct Person {
    pub username: String,
    #[serde(default)]
    pub display_name: Option<String>,
    #[serde(default)]
    pub email: Option<String>,
    #[serde(default)]
    pub mobile: Option<String>,
    #[serde(default)]
    pub locale: Option<String>,
    #[serde(default)]
    pub time_zone: Option<String>,
}

impl Person {
    /// In valid form; the time zone is for the database to know.
    ///
    /// # Errors
    /// Names the field that cannot be.
    pub fn parse(self, region: Option<Region>) -> Result<(Username, NewUser), Refusal> {
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let mobile = filled(self.mobile).map(|text| numbers::e164(&text, region)).transpose();
        let mobile = mobile.map_err(|problem| Refusal::new("mobile", problem))?;
        let user = NewUser {
            display_name: filled(self.display_name),
            email: filled(self.email),
            mobile,
            locale: filled(self.locale),
            time_zone: filled(self.time_zone),
        };
        if user.time_zone.as_ref().is_some_and(|zone| zone.contains(char::is_control)) {
            return Err(Refusal::new("time_zone", "must be an IANA name such as Europe/Berlin"));
        }
        // What an account may be is said in one place.
        let default = Account::default();
        let account = Account {
            username: self.username,
            display_name: user.display_name.clone().unwrap_or_default(),
            email: user.email,
            locale: user.locale.clone().unwrap_or(default.locale.clone()),
            ..default
        };
        let account = account.validate()?;
        let name = Username::parse(&account.username).map_err(|problem| Refusal::new("username", problem))?;
        Ok((name, NewUser { email: account.email, ..user }))
    }
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which row, from 1; 0: the line with the names of the columns.
    pub row: usize,
    /// What, with the column's name.
    pub problem: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row {
            0 => f.write_str(&self.problem),
            row => write!(f, "row {row}: {}", self.problem),
        }
    }
}

/// What a file holds.
#[derive(Clone, Debug, Default)]
pub struct People {
    /// The users, with their rows.
    users: Vec<(usize, Username, NewUser)>,
    /// What is wrong with others, the first hundred of them.
    pub problems: Vec<Problem>,
}

impl People {
    /// Reads a CSV file whose first line names the columns.
    pub fn read(input: impl Read, region: Option<Region>) -> Self {
        let mut people = Self::default();
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
        if let Err(problem) = columns(&mut reader) {
            people.refuse(0, problem);
            return people;
        }
        let mut seen = HashMap::new();
        for (number, person) in reader.deserialize::<Person>().enumerate() {
            let row = number + 1;
            match person
                .map_err(|error| written(&error))
                .and_then(|person| person.parse(region).map_err(|refusal| refusal.to_string()))
            {
                Ok((name, user)) => match seen.insert(name.clone(), row) {
                    Some(before) => {
                        people.refuse(row, format!("username: {name} stands in row {before} too"));
                    }
                    None => people.users.push((row, name, user)),
                },
                Err(problem) => people.refuse(row, problem),
            }
        }
        if people.users.is_empty() && people.problems.is_empty() {
            people.refuse(0, "it holds no users".to_owned());
        }
        people
    }

    /// The same with the time zones looked at, which the database knows.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn checked(mut self, pool: &PgPool) -> Result<Self, store::Error> {
        let zones: HashSet<String> =
            self.users.iter().filter_map(|(_, _, user)| user.time_zone.clone()).collect();
        let zones: Vec<String> = zones.into_iter().collect();
        let unknown = store::accounts::unknown_time_zones(pool, &zones).await?;
        let (bad, good): (Vec<_>, Vec<_>) = self
            .users
            .into_iter()
            .partition(|(_, _, user)| user.time_zone.as_ref().is_some_and(|zone| unknown.contains(zone)));
        self.users = good;
        for (row, _, user) in bad {
            let zone = user.time_zone.unwrap_or_default();
            self.refuse(
                row,
                format!("time_zone: there is no time zone {zone}: use an IANA name such as Europe/Berlin"),
            );
        }
        self.problems.sort_by_key(|problem| problem.row);
        Ok(self)
    }

    /// How many of the users would be added, how many changed, and how many of these are deactivated.
    ///
    /// # Errors
    /// The database cannot be reached.
    pub async fn standing(&self, pool: &PgPool) -> Result<Imported, store::Error> {
        let names: Vec<String> = self.users.iter().map(|(_, name, _)| name.to_string()).collect();
        let known = store::users::by_names(pool, &names).await?;
        let inactive = known.iter().filter(|user| !user.active).count();
        Ok(Imported { added: names.len() - known.len(), changed: known.len(), inactive })
    }

    /// Adds and changes all of them, as `actor` asked. Call it when there are no problems.
    ///
    /// # Errors
    /// The database cannot be reached; nothing has changed then.
    pub async fn save(&self, pool: &PgPool, actor: &str) -> Result<Imported, store::Error> {
        let users: Vec<_> = self.users.iter().map(|(_, name, user)| (name, user)).collect();
        store::users::import(pool, &users, actor).await
    }

    fn refuse(&mut self, row: usize, problem: String) {
        if self.problems.len() < MOST_TOLD {
            self.problems.push(Problem { row, problem });
        }
    }
}

fn columns(reader: &mut csv::Reader<impl Read>) -> Result<(), String> {
    let headers = reader.headers().map_err(|error| written(&error))?;
    if let Some(other) = headers.iter().find(|name| !COLUMNS.contains(name)) {
        return Err(format!("the first line names a column {other:?}; there are {}", COLUMNS.join(", ")));
    }
    if !headers.iter().any(|name| name == "username") {
        return Err("the first line must name the columns, username among them".to_owned());
    }
    Ok(())
}

/// What is wrong with a line, without where: that is told beside.
fn written(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "it is not written in UTF-8".to_owned(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("it has {len} fields, and the first line names {expected_len}")
        }
        csv::ErrorKind::Deserialize { err, .. } => err.kind().to_string(),
        _ => "it cannot be read".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        People::read(text.as_bytes(), None).problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_row_says_what_is_wrong_with_it() {
        let said = problems(
            "username,email,mobile,locale\nann,ann@example.com,,\nb ob,,,\nAnn,,,\ncarl,carl,,\ndora,,12,\neve,,,e!\nfay\n",
        );
        let expected = [
            "row 2: username: must not hold white space",
            "row 3: username: ann stands in row 1 too",
            "row 4: email: ",
            "row 5: mobile: must begin with +",
            "row 6: locale: ",
            "row 7: it has 1 fields, and the first line names 4",
        ];
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for (said, expected) in said.iter().zip(expected) {
            assert!(said.starts_with(expected), "{said}");
        }
    }

    #[test]
    fn a_file_of_something_else_is_refused_at_once() {
        assert!(
            problems("username,password\nann,x\n")[0]
                .starts_with("the first line names a column \"password\"")
        );
        assert!(problems("email\nann@example.com\n")[0].contains("username among them"));
        assert_eq!(problems("username\n"), ["it holds no users"]);
        assert_eq!(problems(""), ["the first line must name the columns, username among them"]);
    }
}
