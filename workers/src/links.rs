//! The links by which a mail is answered: one for each choice.

use herald_jobs::answer_link::AnswerLink;
use herald_jobs::message_type::RequiredAction;
use herald_jobs::seal::KeyRing;
use herald_jobs::store::deliveries::Claimed;
use url::Url;

use crate::context::AnswerLinks;

/// One way to answer.
pub(crate) struct Link {
    label: String,
    url: Url,
}

/// The links of one copy: those of its recipient alone, and only while there are keys to sign them with.
pub(crate) fn of(copy: &Claimed, keys: &KeyRing, links: &AnswerLinks) -> Vec<Link> {
    let Some(recipient) = copy.own_of else { return Vec::new() };
    let expires = (copy.message_created_at + links.life).timestamp();
    let link = |label: &str, choice: Option<&str>| {
        let link =
            AnswerLink { message: copy.message_id, recipient, choice: choice.map(str::to_owned), expires };
        let url = link.url(keys, &links.public_url).ok()?;
        Some(Link { label: label.replace(char::is_control, " "), url })
    };
    let choices = copy.choice_labels.iter().zip(&copy.choice_values);
    match copy.required_action {
        RequiredAction::View => link("I have read this", None).into_iter().collect(),
        RequiredAction::Reply if copy.choice_values.is_empty() => {
            link("Write an answer", None).into_iter().collect()
        }
        RequiredAction::Reply => choices.filter_map(|(label, value)| link(label, Some(value))).collect(),
        RequiredAction::Action => Vec::new(),
    }
}

/// The links below a plain text.
pub(crate) fn as_text(links: &[Link]) -> String {
    let lines: String = links.iter().map(|Link { label, url }| format!("\n{label}: {url}")).collect();
    if lines.is_empty() { lines } else { format!("\n\n--{lines}\n") }
}

/// The links below HTML.
pub(crate) fn as_html(links: &[Link]) -> String {
    let link = |Link { label, url }: &Link| format!("<p><a href=\"{url}\">{}</a></p>", escaped(label));
    links.iter().map(link).collect()
}

/// A text as HTML shows it.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
