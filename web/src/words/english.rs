//! English.

use super::{Region, Words};

pub(super) static WORDS: Words = Words {
    language: "en",

    skip: "Skip to the content",
    toolbar: "Inbox",
    menus: "Your menus",
    dashboard: "Dashboard",
    my_alerts: "My alerts",
    my_messages: "My messages",
    account: "Your account",
    log_out: "Log out",
    waits_for_you: "What waits for you",
    alerts: "Alerts",
    messages: "Messages",
    double_click: "double-click",
    double_click_to_open: "Double-click to open",
    offline: "No connection: what you see may be out of date.",
    not_posted: "There was no answer. What you chose is still here: look whether it was posted, and try again.",
    logged_out: "You are logged out. What you typed is still here.",
    log_in_again: "Log in again",
    close: "Close",

    dismiss_notice: "Dismiss this notice",
    alert_from: |sender| format!("Alert from {sender}"),
    alerts_wait: |many| {
        if many == 1 {
            "1 alert is waiting".to_owned()
        } else {
            format!("{} alerts are waiting", number(many))
        }
    },
    latest_alert: |subject, sender| format!("The latest: {subject}, from {sender}"),

    log_in: "Log in",
    username: "Username",
    password: "Password",
    wrong_password: "Wrong username or password.",
    too_many_attempts: |minutes| format!("Too many attempts. Try again in {minutes} min."),
    welcome: "Welcome",
    link_lets_in_once: "This link lets you in once.",
    log_in_as: |name| format!("Log in as {name}"),
    link_is_over: "This link does not work any more",
    link_is_over_detail: "It was used before, or its time is over. Ask for a new one, or log in with your password.",
    no_account: "It is known who you are, but there is no account for you here. Ask your administrator.",

    answer_with: |choice| format!("Answer: {choice}"),
    your_answer: "Your answer",
    send_answer: "Send the answer",
    i_have_read: "I have read this",
    thanks: |reply| match reply {
        Some(reply) => format!("Thank you. Your answer: {reply}."),
        None => "Thank you. It is marked as read.".to_owned(),
    },
    nothing_changed: |why| format!("Nothing was changed. It {}.", why.trim_end_matches('.')),
    answer_link_is_over: "still waits in your inbox, but this link's time is over",
    receives_no_more: "is kept, but you do not receive messages here any more",
    to_the_inbox: "To the inbox",

    greeting: |hour, name| {
        let greeting = match hour {
            5..12 => "Good morning",
            12..18 => "Good afternoon",
            _ => "Good evening",
        };
        format!("{greeting}, {name}")
    },
    the_latest: "The latest",
    nothing_waits: "Nothing waits for you.",
    new_ones_appear: "New ones appear here by themselves.",
    alert: "Alert",

    waiting: "Waiting",
    history: "History",
    new: "New:",
    new_ones: |many| format!("{} new", number(many)),
    show_new: "Show what is new",
    no_alerts: "No alerts wait for you.",
    no_messages: "No messages wait for you.",
    no_history: "Nothing has been acted on yet.",
    no_match: "Nothing matches this search.",
    no_match_yet: "Nothing so far. There are older ones to look through.",
    clear_search: "Clear the search",
    search_on: "Search further back",
    nothing_older: "There is nothing older.",
    to_newest: "To the newest",
    newest: "Newest",
    older: "Older",
    pages: "Pages",
    act: "Act",
    act_on: |subject| format!("Act on {subject}"),
    act_on_page: "Act on all of this page",
    selected: |many| format!("{many} selected"),
    post: "Post",
    results: "What became of it",
    done: |many| format!("{many} done"),
    reading: "Reading pane",
    choose_to_read: "Choose one to read it here.",
    keys: "Keyboard shortcuts",

    administration: &super::administration::ENGLISH,
    more: "More",

    search: "Search",
    search_hint: "Search words and senders",
    filters: "Filters",
    sender: "Sender",
    message_type: "Type",
    state: "State",
    state_waiting: "Waiting",
    state_unseen: "Waiting, not seen",
    state_done: "History",
    state_acted: "Acted on",
    state_taken_back: "Taken back",
    from_date: "From",
    to_date: "To",
    not_a_day: "This is not a day.",

    kept_until: |moment| format!("kept until {moment}"),
    wants_view: "To read",
    wants_reply: "Wants a reply",
    wants_action: "Wants an action",
    reply_to: |subject| format!("Reply to {subject}"),
    choose: "Choose…",
    your_reply: "Your reply",
    send_reply: "Send reply",
    dismiss: "Dismiss",
    act_opens: |subject| format!("on {subject}, opens another tab"),
    opens: |host| format!("opens {host}"),
    open_again: "Open again…",
    fetch: |name| format!("Fetch {name}"),
    own_page: "Open on a page of its own",
    back_to_list: "Back to the list",
    taken_back_nothing_to_open: "This was taken back by its sender. There is nothing to open any more.",

    a_message: "A message",
    acted: "acted",
    answered: |reply| format!("answered: {reply}"),
    by: |name| format!(" by {name}"),
    was_acted: |by, age, exact| format!("was already acted on{by} ({age}, {exact})"),
    was_answered: |reply, by, age, exact| format!("was already answered {reply}{by} ({age}, {exact})"),
    was_taken_back: "was taken back by its sender",
    waits_no_more: |why| format!("does not wait for you any more ({why})"),
    is_gone: "is not there any more",
    wants_opening: "wants to be opened with its Act button",
    needs_value: "needs a value first",
    not_offered: "does not offer this value; choose again",
    too_long: "takes at most 2,000 characters",
    no_nul: "does not take the character U+0000",

    you_acted: |age| format!("Acted on {age}"),
    you_answered: |reply, age| format!("Answered {reply}, {age}"),
    sender_took_back: "Taken back by its sender",

    key_next: "Next",
    key_previous: "Previous",
    key_tick: "Tick or untick Act",
    key_all: "Tick all of this page",
    key_open: "Read",
    key_reply: "Reply",
    key_enter: "Post what is ticked. With nothing ticked: act on this one, or read it",
    key_search: "Search",
    key_help: "Show these keys",
    key_switch: "Use single keys",

    sessions: "Where you are logged in",
    session_opened: |moment| format!("Logged in {moment}"),
    session_used: |age| format!("last used {age}"),
    this_session: "here",
    log_out_everywhere: "Log out everywhere",
    log_out_everywhere_detail: "Ends all of these at once, this one too.",
    email: "E-mail",
    mobile: "Mobile",
    time_zone: "Time zone",
    language_label: "Language and region",
    not_set: "not set",
    maintained_by: "These are kept by your administrators.",

    error_number: |status| format!("Error {status}"),
    to_dashboard: "To the dashboard",

    just_now: "just now",
    minutes_ago: |many| format!("{many} min ago"),
    hours_ago: |many| format!("{many} h ago"),
    yesterday: "yesterday",
    days_ago: |many| format!("{many} days ago"),
    date: |at, region| match region {
        Region::MonthFirst => at.format("%b %-d, %Y").to_string(),
        Region::DayFirst => at.format("%-d %b %Y").to_string(),
    },
    date_and_time: |at, region| match region {
        Region::MonthFirst => at.format("%b %-d, %Y, %-I:%M %p %Z").to_string(),
        Region::DayFirst => at.format("%-d %b %Y, %H:%M %Z").to_string(),
    },
    exact: |at, region| match region {
        Region::MonthFirst => at.format("%B %-d, %Y, %-I:%M:%S %p %Z").to_string(),
        Region::DayFirst => at.format("%-d %B %Y, %H:%M:%S %Z").to_string(),
    },
    day: |at, region| match region {
        Region::MonthFirst => at.format("%A, %B %-d, %Y").to_string(),
        Region::DayFirst => at.format("%A, %-d %B %Y").to_string(),
    },
    operations: &super::operations::ENGLISH,
    number,
};

fn number(many: i64) -> String {
    let digits = many.to_string();
    let mut apart = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && !apart.ends_with('-') {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart() {
        for (many, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567"), (-100, "-100")]
        {
            assert_eq!(number(many), text);
        }
    }
}
