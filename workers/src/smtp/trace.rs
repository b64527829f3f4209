use std::sync::Arc;

/// What stands in place of a secret.
const MASK: &str = "***";

/// Is told a conversation, line by line, with passwords masked: `> ` goes before what is said here, `< ` before replies.
#[derive(Clone)]
pub struct Trace {
    tell: Arc<dyn Fn(&str) + Send + Sync>,
    secrets: Vec<String>,
}

impl Trace {
    /// Tells each line to `tell`.
    pub fn new(tell: Arc<dyn Fn(&str) + Send + Sync>) -> Self {
        Self { tell, secrets: Vec::new() }
    }

    /// Masks these from now on, whoever says them.
    pub(super) fn mask(&mut self, secrets: impl IntoIterator<Item = String>) {
        self.secrets.extend(secrets.into_iter().filter(|secret| !secret.is_empty()));
        // A longer one may hold a shorter one.
        self.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    }

    /// Tells the lines of one command.
    pub(super) fn said(&self, text: &str) {
        self.lines('>', text.lines());
    }

    /// Tells the lines of one reply.
    pub(super) fn heard<'a>(&self, code: u16, lines: impl Iterator<Item = &'a str>) {
        let lines: Vec<String> = lines.map(|line| format!("{code} {line}")).collect();
        self.lines('<', lines.iter().map(String::as_str));
    }

    fn lines<'a>(&self, who: char, lines: impl Iterator<Item = &'a str>) {
        for line in lines {
            let masked = self.secrets.iter().fold(line.to_owned(), |line, secret| line.replace(secret, MASK));
            (self.tell)(&format!("{who} {masked}"));
        }
    }
}
