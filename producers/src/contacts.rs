//! Outside contacts that were found in records: who can get a copy, and why the others cannot.

use std::collections::BTreeMap;

use herald_jobs::address::Channel;
use herald_jobs::send::{MAX_CONTACTS, NewContact};

use crate::Producer;
use crate::numbers::{self, Region};

/// One that was found.
pub(crate) struct Found<'a> {
    /// Where.
    pub(crate) at: &'a str,
    pub(crate) contact: NewContact,
    /// Only one of this channel is meant; others are passed over.
    pub(crate) channel: Option<Channel>,
}

/// Those who get a copy, each once and in their order, and why others do not.
pub(crate) fn usable<'a>(
    region: Option<Region>,
    found: impl IntoIterator<Item = Found<'a>>,
) -> (Vec<NewContact>, Vec<String>) {
    let (mut usable, mut skipped) = (BTreeMap::new(), Vec::new());
    for Found { at, mut contact, channel } in found {
        let reference = contact.contact_reference.clone();
        match numbers::normalise(&mut contact, region).and_then(|()| contact.parse()) {
            Ok(parsed) if channel.is_some_and(|channel| channel != parsed.channel) => {}
            Ok(parsed) => {
                let place = usable.len();
                usable.entry((parsed.channel, parsed.address)).or_insert((place, contact));
            }
            Err(refusal) => skipped.push(format!("{reference:?} at {at} {}", refusal.problem)),
        }
    }
    let mut usable: Vec<(usize, NewContact)> = usable.into_values().collect();
    usable.sort_by_key(|(place, _)| *place);
    if usable.len() > MAX_CONTACTS {
        skipped.push(format!("there are more than {MAX_CONTACTS}: the first of them get a copy"));
        usable.truncate(MAX_CONTACTS);
    }
    (usable.into_iter().map(|(_, contact)| contact).collect(), skipped)
}

impl Producer {
    /// Those of `contacts` who can get a copy, each once, and why the others cannot: for contacts that come from records, where one
    /// that is none must not keep the message from all others.
    pub fn usable_contacts(&self, contacts: Vec<NewContact>) -> (Vec<NewContact>, Vec<String>) {
        let found = contacts.into_iter().map(|contact| Found { at: "contacts", contact, channel: None });
        usable(self.region(), found)
    }
}
