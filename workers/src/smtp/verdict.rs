use std::fmt;

use super::{reply::Reply, wire::Lost};

/// What became of one mail. Every text is a sentence for people, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The server took the mail over.
    Sent {
        /// The server's reply to the final dot; most servers name their queue id in it.
        reply: String,
    },
    /// Never: this recipient or this content will be refused again.
    Refused {
        /// The reply's code (5xx); none when the mail was refused here, before the server was asked.
        code: Option<u16>,
        /// Why.
        reply: String,
    },
    /// Not sent; worth another attempt.
    Deferred {
        /// The reply's code (4xx); none when the connection failed.
        code: Option<u16>,
        /// Why.
        reply: String,
        /// The connection ended before the server took the sender's address, as an idle session's does. Nothing was
        /// said about this mail, so a reused session's mail may be sent again at once over a new one.
        untouched: bool,
    },
    /// The final dot was written and no reply came: the server may have the mail, or not.
    Unknown {
        /// What went wrong after the dot.
        error: String,
    },
    /// The caller no longer wanted the mail sent when it was asked just before the message.
    Abandoned,
    /// Not sent, and the settings are to blame: other mails will fare the same.
    Fault(Fault),
}

/// Why a server cannot be used. It says nothing about a single mail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// The same as a sentence for people, without secrets.
    pub sentence: String,
}

/// What is wrong with a server or the settings for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It does not answer, or asks to come back later. This passes by itself.
    Unreachable,
    /// Its name could not be looked up.
    NameNotFound,
    /// The secure connection cannot be made, or is not offered.
    Tls,
    /// User name and password are refused, asked for, or cannot be used.
    Authentication,
    /// It does not take mail from this sender's address.
    SenderRefused,
    /// It does not want to talk to us at all.
    ServerRefused,
    /// A setting is not valid.
    Settings,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, sentence: String) -> Self {
        Fault { kind, sentence }
    }
}

/// A step in the sending of one mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Mail,
    Rcpt,
    Data,
    Body,
    Dot,
}

/// The end of one mail's transaction.
pub(super) struct Ending {
    pub(super) verdict: Verdict,
    pub(super) after: After,
}

/// In what state a transaction leaves the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The next mail can follow.
    Ready,
    /// The next mail can follow a RSET.
    Reset,
    /// Nothing can follow.
    Gone,
}

impl Step {
    /// Whether this is the reply that lets the mail go on.
    pub(super) fn is_passed_by(self, reply: &Reply) -> bool {
        match self {
            Step::Mail | Step::Rcpt | Step::Dot => (200..300).contains(&reply.code),
            Step::Data => reply.code == 354,
            Step::Body => false,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Mail => "the sender",
            Step::Rcpt => "the recipient",
            Step::Data | Step::Body | Step::Dot => "the message",
        })
    }
}

impl Ending {
    /// The ending after a reply that does not let the mail go on.
    pub(super) fn by_reply(step: Step, reply: &Reply) -> Ending {
        let after = if reply.code == 421 || step == Step::Body { After::Gone } else { After::Reset };
        match (step, reply.code) {
            (_, 400..=499) => Ending { verdict: put_off(step, reply), after },
            (Step::Mail | Step::Rcpt | Step::Data, 530 | 534 | 535 | 538) => {
                let sentence = format!("The server asks for a sign-in: {reply}");
                Ending { verdict: Verdict::Fault(Fault::new(FaultKind::Authentication, sentence)), after }
            }
            // Out of step with each other: a new session sets it right.
            (Step::Mail | Step::Rcpt | Step::Data, 503) => {
                Ending { verdict: put_off(step, reply), after: After::Gone }
            }
            // At MAIL these two speak of the size that was announced, all others of the sender.
            (Step::Mail, 523 | 552) => Ending { verdict: refused(Step::Dot, reply), after },
            (Step::Mail, 500..=599) => {
                let sentence = format!("The server refused the sender: {reply}");
                Ending { verdict: Verdict::Fault(Fault::new(FaultKind::SenderRefused, sentence)), after }
            }
            (_, 500..=599) => Ending { verdict: refused(step, reply), after },
            _ => Ending::by_loss(step, &Lost::Nonsense(reply.to_string())),
        }
    }

    /// The ending after the connection was lost in a step.
    pub(super) fn by_loss(step: Step, lost: &Lost) -> Ending {
        let verdict = match step {
            Step::Dot => Verdict::Unknown { error: format!("The message was sent, but {lost}.") },
            Step::Mail | Step::Rcpt | Step::Data | Step::Body => Verdict::Deferred {
                code: None,
                reply: format!("While sending {step}, {lost}."),
                untouched: step == Step::Mail,
            },
        };
        Ending { verdict, after: After::Gone }
    }
}

fn put_off(step: Step, reply: &Reply) -> Verdict {
    Verdict::Deferred {
        code: Some(reply.code),
        reply: format!("The server did not take {step} this time: {reply}"),
        untouched: step == Step::Mail && reply.code == 421,
    }
}

fn refused(step: Step, reply: &Reply) -> Verdict {
    Verdict::Refused { code: Some(reply.code), reply: format!("The server refused {step}: {reply}") }
}
