//! The SMTP client against the mail catcher: what is known of each mail, whatever goes wrong and wherever it does.

#[cfg(test)]
#[path = "support/port.rs"]
mod port;

#[cfg(test)]
mod smtp {
    mod catcher;
    mod cuts;
    mod messages;
    mod replies;
    mod sessions;
    mod sign_in;
    mod slow;
    mod smtp_sink;
    mod support;
}
