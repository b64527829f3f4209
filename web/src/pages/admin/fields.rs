//! The fields of a form, and what was typed into them.

use std::borrow::Cow;

use herald_jobs::send::Syntax;

use crate::access::form::Fields;
use crate::words::Administration;

/// One field.
pub(crate) struct Field {
    /// Its name in the form, and in refusals.
    pub(super) name: Cow<'static, str>,
    pub(super) label: Cow<'static, str>,
    pub(super) hint: Cow<'static, str>,
    pub(super) kind: Kind,
    pub(super) value: String,
    /// It says what the form is tried on, and is not saved.
    pub(super) tries: bool,
    /// Why it was refused.
    pub(super) problem: Option<String>,
    /// The first one that was refused, from which the user goes on.
    pub(super) focus: bool,
}

/// How a field is filled in.
pub(crate) enum Kind {
    Line,
    Number,
    Lines,
    /// Many lines of a text that somebody composes.
    Source,
    /// A line, with suggestions that stand beside the form.
    Suggested,
    /// One of these: value and label.
    One(Vec<(String, String)>),
    /// Ticked: `on`.
    Tick,
    /// Never shown. What it says that unsets it, where it is set, and whether it is to be.
    Secret {
        unset: Option<String>,
        unsets: bool,
    },
    /// Shown only: it names what is changed.
    Fixed,
}

impl Field {
    pub(super) fn new<T: Into<Cow<'static, str>>>(
        name: impl Into<Cow<'static, str>>,
        (label, hint): (T, T),
        kind: Kind,
    ) -> Self {
        Self {
            name: name.into(),
            label: label.into(),
            hint: hint.into(),
            kind,
            value: String::new(),
            tries: false,
            problem: None,
            focus: false,
        }
    }

    /// One that only says what the form is tried on.
    pub(super) fn of_trial(self) -> Self {
        Self { tries: true, ..self }
    }

    /// Says why it was refused.
    pub(super) fn refuse(&mut self, problem: impl Into<String>) {
        self.problem = Some(problem.into());
    }

    /// The same with a value.
    pub(super) fn holding(self, value: impl Into<String>) -> Self {
        Self { value: value.into(), ..self }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self.kind, Kind::Number)
    }

    pub(super) fn is_ticked(&self) -> bool {
        self.value == "on"
    }

    /// Whether there is a hint to fill it in by.
    pub(super) fn has_hint(&self) -> bool {
        !self.hint.is_empty() && !matches!(self.kind, Kind::Fixed)
    }

    /// What describes the field: its hint, its problem.
    pub(super) fn described_by(&self) -> String {
        let hint = self.has_hint().then(|| format!("hint-{}", self.name));
        let problem = self.problem.is_some().then(|| format!("problem-{}", self.name));
        hint.into_iter().chain(problem).collect::<Vec<_>>().join(" ")
    }
}

/// Lets the user go on from the first field that was refused.
pub(super) fn focus(fields: &mut [Field]) {
    if let Some(first) = fields.iter_mut().find(|field| field.problem.is_some()) {
        first.focus = true;
    }
}

/// What was typed into a field of several lines, as it is kept; `None`: nothing but blanks.
pub(super) fn composed(fields: &Fields, name: &str) -> Option<String> {
    let text = fields.get(name).replace("\r\n", "\n");
    Some(text).filter(|text| !text.trim().is_empty())
}

/// What was typed, one entry a line.
pub(super) fn lines(fields: &Fields, name: &str) -> Vec<String> {
    let lines = fields.get(name).lines().map(str::trim);
    lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// What was typed on one line, with commas or blanks between the entries.
pub(super) fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ']).filter(|entry| !entry.is_empty())
}

/// A choice between codes, with a first one that stands for none where that may be.
pub(super) fn one_of(none: Option<&str>, codes: &[String]) -> Kind {
    let none = none.map(|label| (String::new(), label.to_owned()));
    Kind::One(none.into_iter().chain(codes.iter().map(|code| (code.clone(), code.clone()))).collect())
}

/// How texts are written.
pub(super) fn syntaxes(words: &Administration) -> Kind {
    let named = |it: &Syntax| (it.as_str().to_owned(), (words.named)(it.as_str()).to_owned());
    Kind::One(Syntax::ALL.iter().map(named).collect())
}

/// What was typed, without blanks around it; `None`: nothing.
pub(super) fn typed(fields: &Fields, name: &str) -> Option<String> {
    Some(fields.get(name).trim()).filter(|text| !text.is_empty()).map(str::to_owned)
}
