use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use tokio::sync::broadcast;

/// New mails that a slow subscriber may fall behind by before it misses some.
const SUBSCRIBER_LAG: usize = 1_024;

/// One mail that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Counted up from 1, and never used again.
    pub id: u64,
    /// When its final dot came.
    pub received_at: DateTime<Utc>,
    /// The envelope's sender, empty for `<>`.
    pub from: String,
    /// The envelope's recipients.
    pub to: Vec<String>,
    /// The message as it was sent, dots no longer stuffed.
    pub raw: Vec<u8>,
    /// Its `Message-ID`, in angle brackets.
    pub message_id: Option<String>,
}

/// What became of one recipient of one try to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The `Message-ID`, as far as the message came.
    pub message_id: Option<String>,
    /// The address in RCPT.
    pub to: String,
    /// Whether the mail was kept.
    pub stored: bool,
    /// The last reply about this recipient, as it was written to the client in full: to RCPT or DATA where that
    /// refused, else to the final dot. None when the client was given none.
    pub reply: Option<String>,
}

/// The mails that were taken last, and the log of all tries.
pub struct Mailbox {
    kept: Mutex<Kept>,
    news: broadcast::Sender<Arc<Mail>>,
    keep_mails: usize,
    keep_attempts: usize,
}

#[derive(Default)]
struct Kept {
    mails: VecDeque<Arc<Mail>>,
    taken: u64,
    attempts: VecDeque<Attempt>,
    /// How many attempts have left the log at its old end.
    forgotten: usize,
}

impl Mailbox {
    pub(super) fn new(keep_mails: usize, keep_attempts: usize) -> Self {
        let (news, _) = broadcast::channel(SUBSCRIBER_LAG);
        Mailbox { kept: Mutex::default(), news, keep_mails, keep_attempts }
    }

    /// The mails that are kept, oldest first.
    pub fn list(&self) -> Vec<Arc<Mail>> {
        self.kept().mails.iter().cloned().collect()
    }

    /// One mail, while it is kept.
    pub fn get(&self, id: u64) -> Option<Arc<Mail>> {
        self.kept().mails.iter().find(|mail| mail.id == id).cloned()
    }

    /// How many mails were ever taken, those no longer kept included.
    pub fn taken(&self) -> u64 {
        self.kept().taken
    }

    /// Every try for every recipient, oldest first.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.kept().attempts.iter().cloned().collect()
    }

    /// Forgets all mails and attempts. Ids go on counting.
    pub fn clear(&self) {
        let mut kept = self.kept();
        kept.mails.clear();
        kept.forgotten += kept.attempts.len();
        kept.attempts.clear();
    }

    /// New mails from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Mail>> {
        self.news.subscribe()
    }

    /// Keeps a mail; its id is set here.
    pub(super) fn store(&self, mut mail: Mail) {
        let mut kept = self.kept();
        kept.taken += 1;
        mail.id = kept.taken;
        let mail = Arc::new(mail);
        kept.mails.push_back(Arc::clone(&mail));
        if kept.mails.len() > self.keep_mails {
            kept.mails.pop_front();
        }
        drop(kept);
        // Nobody may be listening.
        let _ = self.news.send(mail);
    }

    /// Opens the log's entry for a recipient and returns its number.
    pub(super) fn open_attempt(&self, to: &str) -> usize {
        let mut kept = self.kept();
        kept.attempts.push_back(Attempt { message_id: None, to: to.to_owned(), stored: false, reply: None });
        if kept.attempts.len() > self.keep_attempts {
            kept.attempts.pop_front();
            kept.forgotten += 1;
        }
        kept.forgotten + kept.attempts.len() - 1
    }

    /// Adds to an entry of the log, while it is kept.
    pub(super) fn note(&self, attempt: usize, change: impl FnOnce(&mut Attempt)) {
        let mut kept = self.kept();
        let place = attempt.checked_sub(kept.forgotten);
        if let Some(attempt) = place.and_then(|place| kept.attempts.get_mut(place)) {
            change(attempt);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(to: &str) -> Mail {
        Mail {
            id: 0,
            received_at: DateTime::UNIX_EPOCH,
            from: String::new(),
            to: vec![to.to_owned()],
            raw: Vec::new(),
            message_id: None,
        }
    }

    #[test]
    fn only_the_last_mails_and_attempts_are_kept() {
        let mailbox = Mailbox::new(2, 2);
        let mut news = mailbox.subscribe();
        let numbers: Vec<usize> = ["a", "b", "c"]
            .into_iter()
            .map(|to| {
                mailbox.store(mail(to));
                mailbox.open_attempt(to)
            })
            .collect();
        for number in numbers {
            mailbox.note(number, |attempt| attempt.reply = Some(format!("{number}")));
        }
        assert_eq!(mailbox.list().iter().map(|mail| mail.id).collect::<Vec<_>>(), [2, 3]);
        assert_eq!((mailbox.get(1), mailbox.taken()), (None, 3));
        assert_eq!(mailbox.get(3).unwrap().to, ["c"]);
        let replies: Vec<_> = mailbox.attempts().into_iter().map(|it| (it.to, it.reply.unwrap())).collect();
        assert_eq!(replies, [("b".to_owned(), "1".to_owned()), ("c".to_owned(), "2".to_owned())]);
        assert_eq!([1, 2, 3].map(|_| news.try_recv().unwrap().id), [1, 2, 3]);

        mailbox.clear();
        assert!(mailbox.list().is_empty() && mailbox.attempts().is_empty());
        mailbox.store(mail("d"));
        let number = mailbox.open_attempt("d");
        mailbox.note(number, |attempt| attempt.stored = true);
        assert_eq!(mailbox.list().first().map(|mail| mail.id), Some(4));
        assert!(mailbox.attempts().first().unwrap().stored);
    }
}
