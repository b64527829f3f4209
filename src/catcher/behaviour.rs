use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// How the catcher treats its clients. The default is a server that takes everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Behaviour {
    /// What goes wrong, and where. All rules that fire at a phase apply together.
    pub rules: Vec<Rule>,
    /// Takes a CR or an LF that stands alone for the end of a line, as careless servers do. Holds for new connections.
    pub lenient: bool,
    /// Cuts a connection when it needs more than this many bytes from the client. Holds for new connections.
    pub cut_received: Option<u64>,
    /// Cuts a connection after this many bytes to the client. Holds for new connections.
    pub cut_sent: Option<u64>,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Where in the conversation.
    pub at: Phase,
    /// What happens there.
    pub deed: Deed,
    /// How often.
    pub when: When,
}

/// A place in the conversation. The command has been read, and its reply not yet been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The client has connected and waits for the greeting.
    Connect,
    /// The greeting has been written.
    Greeting,
    /// EHLO or HELO.
    Ehlo,
    /// AUTH, when name and password have been read.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The line of the message that takes it beyond this many bytes has been read. A cut here leaves the rest unread.
    Body {
        /// Bytes of the message, dots still stuffed.
        after: usize,
    },
    /// The final dot. The mail is kept, unless an answer of 400 or more says otherwise.
    Dot,
    /// The reply to the final dot has been written.
    Replied,
    /// RSET.
    Rset,
}

/// What goes wrong. A delay comes first, a cut second; where nothing is cut, an answer replaces the usual one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// Another reply. From 400 on the command is not carried out.
    Answer {
        /// The code, such as 550.
        code: u16,
        /// The text after it. Each of its lines becomes a line of the reply.
        text: String,
    },
    /// The connection is closed without a word.
    Cut,
    /// Nothing happens for this long, or until the catcher is told to behave in another way.
    Delay(Duration),
}

/// How often a rule fires.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// Each time.
    Always,
    /// This many times, counted from when the behaviour was set.
    First(u32),
    /// By chance, from 0 (never) to 1 (always).
    Probability(f64),
}

impl Behaviour {
    /// A server that does one thing wrong each time.
    pub fn at(at: Phase, deed: Deed) -> Self {
        Behaviour::default().and(at, deed, When::Always)
    }

    /// A server that does another thing wrong as well.
    #[must_use]
    pub fn and(mut self, at: Phase, deed: Deed, when: When) -> Self {
        self.rules.push(Rule { at, deed, when });
        self
    }
}

impl Deed {
    /// Another reply.
    pub fn answer(code: u16, text: impl Into<String>) -> Self {
        Deed::Answer { code, text: text.into() }
    }
}

/// A behaviour being played: it knows what has fired.
pub(super) struct Play {
    behaviour: Behaviour,
    fired: Vec<u32>,
    random: StdRng,
}

/// What is to happen at a phase.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) delay: Duration,
    pub(super) cut: bool,
    /// The reply, with its code in each line but without its end.
    pub(super) answer: Option<String>,
}

impl Play {
    pub(super) fn new(seed: u64) -> Self {
        Play { behaviour: Behaviour::default(), fired: Vec::new(), random: StdRng::seed_from_u64(seed) }
    }

    pub(super) fn set(&mut self, behaviour: Behaviour) {
        self.fired = vec![0; behaviour.rules.len()];
        self.behaviour = behaviour;
    }

    pub(super) fn behaviour(&self) -> &Behaviour {
        &self.behaviour
    }

    pub(super) fn told(&mut self, phase: Phase) -> Told {
        let mut told = Told::default();
        for (rule, fired) in self.behaviour.rules.iter().zip(&mut self.fired) {
            let fires = rule.at == phase
                && match rule.when {
                    When::Always => true,
                    When::First(times) => *fired < times,
                    When::Probability(chance) => self.random.random_bool(chance.clamp(0.0, 1.0)),
                };
            if !fires {
                continue;
            }
            *fired += 1;
            match &rule.deed {
                Deed::Answer { code, text } => told.answer = Some(reply(*code, text)),
                Deed::Cut => told.cut = true,
                Deed::Delay(delay) => told.delay += *delay,
            }
        }
        told
    }
}

fn reply(code: u16, text: &str) -> String {
    let (first, last) = text.rsplit_once('\n').unwrap_or(("", text));
    let first = first.lines().map(|line| format!("{code}-{line}\r\n"));
    first.chain([format!("{code} {last}")]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cuts(when: When, times: u32) -> usize {
        let mut play = Play::new(7);
        play.set(Behaviour::default().and(Phase::Mail, Deed::Cut, when));
        (0..times).filter(|_| play.told(Phase::Mail).cut).count()
    }

    #[test]
    fn a_rule_fires_as_often_as_it_says() {
        assert_eq!(cuts(When::Always, 10), 10);
        assert_eq!(cuts(When::First(3), 10), 3);
        assert_eq!(cuts(When::Probability(0.0), 100), 0);
        assert_eq!(cuts(When::Probability(1.0), 100), 100);
        assert!((200..400).contains(&cuts(When::Probability(0.3), 1000)));
    }

    #[test]
    fn a_rule_fires_only_at_its_phase_and_joins_the_others() {
        let mut play = Play::new(7);
        let delay = Duration::from_millis(5);
        play.set(
            Behaviour::at(Phase::Rcpt, Deed::Delay(delay))
                .and(Phase::Rcpt, Deed::answer(450, "not now\nlater"), When::First(1))
                .and(Phase::Dot, Deed::Cut, When::Always),
        );
        assert_eq!(play.told(Phase::Mail), Told::default());
        let both = Told { delay, cut: false, answer: Some("450-not now\r\n450 later".to_owned()) };
        assert_eq!(play.told(Phase::Rcpt), both);
        assert_eq!(play.told(Phase::Rcpt), Told { delay, ..Told::default() });
    }
}
