//! What pages say: one catalogue for each language. A sentence that a catalogue lacks does not compile.

mod administration;
mod authoring;
mod english;
mod operations;
mod rules;
mod running;

use chrono::DateTime;
use chrono_tz::Tz;

pub(crate) use administration::Administration;
pub(crate) use operations::Operations;
pub(crate) use running::Running;

/// All that the inbox says, in one language. Sentences with a blank are functions, so that each language puts its words, and its
/// plurals, where they belong.
pub(crate) struct Words {
    /// For the page's `lang`.
    pub(crate) language: &'static str,

    // What surrounds the pages
    pub(crate) skip: &'static str,
    pub(crate) toolbar: &'static str,
    pub(crate) menus: &'static str,
    pub(crate) dashboard: &'static str,
    pub(crate) my_alerts: &'static str,
    pub(crate) my_messages: &'static str,
    pub(crate) account: &'static str,
    pub(crate) log_out: &'static str,
    pub(crate) waits_for_you: &'static str,
    pub(crate) alerts: &'static str,
    pub(crate) messages: &'static str,
    pub(crate) double_click: &'static str,
    pub(crate) double_click_to_open: &'static str,
    pub(crate) offline: &'static str,
    pub(crate) not_posted: &'static str,
    pub(crate) logged_out: &'static str,
    pub(crate) log_in_again: &'static str,
    pub(crate) close: &'static str,

    // Notices
    pub(crate) dismiss_notice: &'static str,
    pub(crate) alert_from: fn(&str) -> String,
    pub(crate) alerts_wait: fn(i64) -> String,
    pub(crate) latest_alert: fn(&str, &str) -> String,

    // Log in
    pub(crate) log_in: &'static str,
    pub(crate) username: &'static str,
    pub(crate) password: &'static str,
    pub(crate) wrong_password: &'static str,
    pub(crate) too_many_attempts: fn(u64) -> String,
    pub(crate) welcome: &'static str,
    pub(crate) link_lets_in_once: &'static str,
    pub(crate) log_in_as: fn(&str) -> String,
    pub(crate) link_is_over: &'static str,
    pub(crate) link_is_over_detail: &'static str,
    pub(crate) no_account: &'static str,

    // Links that answer
    pub(crate) answer_with: fn(&str) -> String,
    pub(crate) your_answer: &'static str,
    pub(crate) send_answer: &'static str,
    pub(crate) i_have_read: &'static str,
    pub(crate) thanks: fn(Option<&str>) -> String,
    pub(crate) nothing_changed: fn(&str) -> String,
    pub(crate) answer_link_is_over: &'static str,
    pub(crate) receives_no_more: &'static str,
    pub(crate) to_the_inbox: &'static str,

    // Dashboard
    pub(crate) greeting: fn(u32, &str) -> String,
    pub(crate) the_latest: &'static str,
    pub(crate) nothing_waits: &'static str,
    pub(crate) new_ones_appear: &'static str,
    pub(crate) alert: &'static str,

    // Lists
    pub(crate) waiting: &'static str,
    pub(crate) history: &'static str,
    pub(crate) new: &'static str,
    pub(crate) new_ones: fn(i64) -> String,
    pub(crate) show_new: &'static str,
    pub(crate) no_alerts: &'static str,
    pub(crate) no_messages: &'static str,
    pub(crate) no_history: &'static str,
    pub(crate) no_match: &'static str,
    pub(crate) no_match_yet: &'static str,
    pub(crate) clear_search: &'static str,
    pub(crate) search_on: &'static str,
    pub(crate) nothing_older: &'static str,
    pub(crate) to_newest: &'static str,
    pub(crate) newest: &'static str,
    pub(crate) older: &'static str,
    pub(crate) pages: &'static str,
    pub(crate) act: &'static str,
    pub(crate) act_on: fn(&str) -> String,
    pub(crate) act_on_page: &'static str,
    pub(crate) selected: fn(usize) -> String,
    pub(crate) post: &'static str,
    pub(crate) results: &'static str,
    pub(crate) done: fn(usize) -> String,
    pub(crate) reading: &'static str,
    pub(crate) choose_to_read: &'static str,
    pub(crate) keys: &'static str,

    /// The pages of the administration.
    pub(crate) administration: &'static Administration,
    pub(crate) more: &'static str,

    // Search
    pub(crate) search: &'static str,
    pub(crate) search_hint: &'static str,
    pub(crate) filters: &'static str,
    pub(crate) sender: &'static str,
    pub(crate) message_type: &'static str,
    pub(crate) state: &'static str,
    pub(crate) state_waiting: &'static str,
    pub(crate) state_unseen: &'static str,
    pub(crate) state_done: &'static str,
    pub(crate) state_acted: &'static str,
    pub(crate) state_taken_back: &'static str,
    pub(crate) from_date: &'static str,
    pub(crate) to_date: &'static str,
    pub(crate) not_a_day: &'static str,

    // One message
    pub(crate) kept_until: fn(&str) -> String,
    pub(crate) wants_view: &'static str,
    pub(crate) wants_reply: &'static str,
    pub(crate) wants_action: &'static str,
    pub(crate) reply_to: fn(&str) -> String,
    pub(crate) choose: &'static str,
    pub(crate) your_reply: &'static str,
    pub(crate) send_reply: &'static str,
    pub(crate) dismiss: &'static str,
    pub(crate) act_opens: fn(&str) -> String,
    pub(crate) opens: fn(&str) -> String,
    pub(crate) open_again: &'static str,
    pub(crate) fetch: fn(&str) -> String,
    pub(crate) own_page: &'static str,
    pub(crate) back_to_list: &'static str,
    pub(crate) taken_back_nothing_to_open: &'static str,

    // What became of a Post
    pub(crate) a_message: &'static str,
    pub(crate) acted: &'static str,
    pub(crate) answered: fn(&str) -> String,
    /// After what was done, where another did it.
    pub(crate) by: fn(&str) -> String,
    pub(crate) was_acted: fn(&str, &str, &str) -> String,
    pub(crate) was_answered: fn(&str, &str, &str, &str) -> String,
    pub(crate) was_taken_back: &'static str,
    pub(crate) waits_no_more: fn(&str) -> String,
    pub(crate) is_gone: &'static str,
    pub(crate) wants_opening: &'static str,
    pub(crate) needs_value: &'static str,
    pub(crate) not_offered: &'static str,
    pub(crate) too_long: &'static str,
    pub(crate) no_nul: &'static str,

    // History
    pub(crate) you_acted: fn(&str) -> String,
    pub(crate) you_answered: fn(&str, &str) -> String,
    pub(crate) sender_took_back: &'static str,

    // Keys
    pub(crate) key_next: &'static str,
    pub(crate) key_previous: &'static str,
    pub(crate) key_tick: &'static str,
    pub(crate) key_all: &'static str,
    pub(crate) key_open: &'static str,
    pub(crate) key_reply: &'static str,
    pub(crate) key_enter: &'static str,
    pub(crate) key_search: &'static str,
    pub(crate) key_help: &'static str,
    pub(crate) key_switch: &'static str,

    // Account
    pub(crate) sessions: &'static str,
    pub(crate) session_opened: fn(&str) -> String,
    pub(crate) session_used: fn(&str) -> String,
    pub(crate) this_session: &'static str,
    pub(crate) log_out_everywhere: &'static str,
    pub(crate) log_out_everywhere_detail: &'static str,
    pub(crate) email: &'static str,
    pub(crate) mobile: &'static str,
    pub(crate) time_zone: &'static str,
    pub(crate) language_label: &'static str,
    pub(crate) not_set: &'static str,
    pub(crate) maintained_by: &'static str,

    // Errors
    pub(crate) error_number: fn(u16) -> String,
    pub(crate) to_dashboard: &'static str,

    // Times
    pub(crate) just_now: &'static str,
    pub(crate) minutes_ago: fn(i64) -> String,
    pub(crate) hours_ago: fn(i64) -> String,
    pub(crate) yesterday: &'static str,
    pub(crate) days_ago: fn(i64) -> String,
    pub(crate) date: fn(DateTime<Tz>, Region) -> String,
    pub(crate) date_and_time: fn(DateTime<Tz>, Region) -> String,
    pub(crate) exact: fn(DateTime<Tz>, Region) -> String,
    pub(crate) day: fn(DateTime<Tz>, Region) -> String,
    /// The pages on which Herald itself is looked after.
    pub(crate) operations: &'static Operations,
    /// A count, with its thousands apart.
    pub(crate) number: fn(i64) -> String,
}

/// How a region writes dates, whatever its language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Region {
    /// The month first, and twelve hours: the United States, the Philippines.
    MonthFirst,
    /// The day first, and twenty-four hours: most others.
    DayFirst,
}

/// The catalogue and the region of a locale (BCP 47, as in `en-US`). A language without a catalogue gets English.
pub(crate) fn of(locale: &str) -> (&'static Words, Region) {
    let region = locale.split(['-', '_']).skip(1).find(|part| part.len() == 2);
    let month_first = matches!(region.map(str::to_ascii_uppercase).as_deref(), Some("US" | "PH"));
    (&english::WORDS, if month_first { Region::MonthFirst } else { Region::DayFirst })
}

/// For who is not known yet.
pub(crate) fn default() -> &'static Words {
    &english::WORDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_orders_its_dates_and_a_language_without_a_catalogue_reads_english() {
        for (locale, region) in [
            ("en", Region::DayFirst),
            ("en-US", Region::MonthFirst),
            ("en_us", Region::MonthFirst),
            ("zh-Hant-TW", Region::DayFirst),
            ("", Region::DayFirst),
        ] {
            let (words, found) = of(locale);
            assert_eq!((words.language, found), ("en", region), "{locale}");
        }
    }
}
