//! The functions that a template may call: package `std`, and the user's own.

mod date;
mod list;
mod number;
mod read;
pub(crate) mod script;
mod text;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use serde_json::Value;

use self::read::Seen;

use self::script::Script;
use super::budget::Budget;
use super::values::charge;
use crate::send::Syntax;

pub(super) use self::number::decimal;

/// What a function is given: as many as it takes.
pub(super) type Arguments<'a, 'v> = &'a [Cow<'v, Value>];

/// The functions that texts may call. Clones share them.
#[derive(Clone, Debug)]
pub struct Functions(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By the name in a call: `std.text.upper`.
    called: HashMap<String, Arc<Function>>,
    /// By the name in Handlebars: `std_text_upper`.
    helpers: HashMap<String, Arc<Function>>,
    /// Where the user's functions were read, and what lay there.
    read: Option<(PathBuf, Vec<Seen>)>,
}

/// Why the user's functions could not be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {problem}", file.display())]
pub struct FunctionsError {
    /// The file or directory.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// A sentence without its full stop.
    pub problem: String,
}

/// A function of values. It has no effects.
#[derive(Debug)]
pub(super) struct Function {
    name: Cow<'static, str>,
    /// How many arguments.
    takes: RangeInclusive<usize>,
    /// What they are called, with commas between them.
    parameters: Cow<'static, str>,
    /// What it makes, in a few words; empty: its file says that.
    makes: &'static str,
    run: Run,
}

#[derive(Debug)]
enum Run {
    /// Makes at most [`super::MAX_BYTES`] more than it takes.
    Std(fn(Arguments<'_, '_>) -> Result<Value, String>),
    /// The same, told the present time.
    Timed(fn(Arguments<'_, '_>, DateTime<Utc>) -> Result<Value, String>),
    Script(Script),
}

static STD: LazyLock<Functions> = LazyLock::new(|| {
    let mut known = Known::default();
    for function in [text::functions(), number::functions(), date::functions(), list::functions()].concat() {
        known.insert(function);
    }
    Functions(Arc::new(known))
});

impl Functions {
    /// Package `std`.
    pub fn std() -> Self {
        STD.clone()
    }

    /// Package `std`, and the functions in the files `<package>/<module>.rhai` below `dir`. A directory that is not there has none.
    ///
    /// # Errors
    /// A file cannot be read or is malformed, or a name does not fit, is taken or begins with `std`.
    pub fn read(dir: &Path) -> Result<Self, FunctionsError> {
        let seen = read::list(dir)?;
        let mut known = Known { called: STD.0.called.clone(), helpers: STD.0.helpers.clone(), read: None };
        for file in &seen {
            for function in read::file(dir, file)? {
                let helper = function.name.replace('.', "_");
                if let Some(other) = known.helpers.get(&helper) {
                    let problem = format!(
                        "`{}` and `{}` would both be `{helper}` in Handlebars",
                        function.name, other.name
                    );
                    return Err(FunctionsError { file: dir.join(file.path()), line: 1, column: 1, problem });
                }
                known.insert(Arc::new(function));
            }
        }
        known.read = Some((dir.to_owned(), seen));
        Ok(Self(Arc::new(known)))
    }

    /// Whether a file was added, removed or changed since these were read.
    pub fn is_stale(&self) -> bool {
        self.0.read.as_ref().is_some_and(|(dir, seen)| read::list(dir).ok().as_ref() != Some(seen))
    }

    /// The names of all of them, in no order: `std.text.upper`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.called.keys().map(String::as_str)
    }

    /// All of them as a text calls them, and what each makes: the user's own first, then by name.
    pub fn described(&self, syntax: Syntax) -> Vec<(String, &'static str)> {
        let mut functions: Vec<&Arc<Function>> = self.0.called.values().collect();
        functions.sort_by_key(|function| (function.name.starts_with("std."), &function.name));
        let described = functions.into_iter().map(|function| {
            let Function { name, parameters, makes, .. } = &**function;
            let call = match syntax {
                Syntax::Token => format!("@{name}({parameters})@"),
                Syntax::Handlebars => {
                    let call = format!("{} {}", name.replace('.', "_"), parameters.replace(',', ""));
                    format!("{{{{{}}}}}", call.trim_end())
                }
            };
            (call, *makes)
        });
        described.collect()
    }

    /// The names in Handlebars, in no order: `std_text_upper`.
    pub(super) fn helper_names(&self) -> impl Iterator<Item = &str> {
        self.0.helpers.keys().map(String::as_str)
    }

    pub(super) fn called(&self, name: &str) -> Option<Arc<Function>> {
        self.0.called.get(name).cloned()
    }

    pub(super) fn helper(&self, name: &str) -> Option<Arc<Function>> {
        self.0.helpers.get(name).cloned()
    }
}

impl Known {
    fn insert(&mut self, function: Arc<Function>) {
        self.helpers.insert(function.name.replace('.', "_"), function.clone());
        self.called.insert(function.name.clone().into_owned(), function);
    }
}

impl Function {
    /// One of package `std`.
    fn std(
        name: &'static str,
        takes: RangeInclusive<usize>,
        (parameters, makes): (&'static str, &'static str),
        run: fn(Arguments<'_, '_>) -> Result<Value, String>,
    ) -> Arc<Self> {
        let (name, parameters) = (Cow::Borrowed(name), Cow::Borrowed(parameters));
        Arc::new(Self { name, takes, parameters, makes, run: Run::Std(run) })
    }

    /// # Errors
    /// The arguments do not fit, or the budget is spent.
    pub(super) fn call(&self, arguments: Arguments<'_, '_>, budget: &Budget) -> Result<Value, String> {
        arguments.iter().try_for_each(|argument| charge(argument, budget))?;
        let made = match &self.run {
            Run::Std(run) => run(arguments),
            Run::Timed(run) => run(arguments, budget.now),
            Run::Script(script) => script.run(arguments, budget),
        };
        let made = made.map_err(|problem| format!("{}: {problem}", self.name))?;
        budget.charge(&made)?;
        Ok(made)
    }

    /// Whether it takes so many arguments, when it is called by `name`.
    pub(super) fn takes(&self, name: &str, given: usize) -> Result<(), String> {
        takes(name, &self.takes, given)
    }
}

/// # Errors
/// `name` does not take as many arguments as are given.
pub(super) fn takes(name: &str, takes: &RangeInclusive<usize>, given: usize) -> Result<(), String> {
    if takes.contains(&given) {
        return Ok(());
    }
    let takes = match (*takes.start(), *takes.end()) {
        (0, 0) => "no arguments".to_owned(),
        (1, 1) => "1 argument".to_owned(),
        (least, usize::MAX) => format!("at least {least} arguments"),
        (least, most) if least == most => format!("{least} arguments"),
        (least, most) => format!("{least} to {most} arguments"),
    };
    Err(format!("{name} takes {takes}, not {given}"))
}

/// A whole number from 0 to `most`, given as argument `position` (from 1).
fn count(value: &Value, position: usize, most: u32) -> Result<u32, String> {
    let number =
        value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number <= most);
    number.ok_or_else(|| format!("argument {position} must be a whole number from 0 to {most}"))
}

#[cfg(test)]
mod tests;
