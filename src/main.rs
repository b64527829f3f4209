//! `herald`: brings messages from background systems to people.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use herald::commands;
use herald::config::Config;

/// Brings messages and alerts from background systems to people: into a web inbox, by e-mail and by SMS.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Arguments {
    /// Settings file; without it ./herald.toml, where there is one.
    #[arg(long, global = true, env = "HERALD_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs all of Herald in one process; without configured servers, on private ones of its own.
    Serve,
    /// Runs the workers: jobs into inboxes, and out by e-mail and SMS. Any number of processes, on any number of machines.
    Worker,
    /// Runs the inbox, the API and the schedule. Any number of processes.
    Web,
    /// Brings the database's schema up to date.
    Migrate,
    /// Sends a message.
    Send(commands::send::Send),
    /// Tells somebody that a report or another file is ready, which nobody else can fetch.
    Output(commands::output::Output),
    /// Runs a program, and tells people how it ended.
    Run(commands::run::Run),
    /// Cancels messages that wait.
    Cancel(commands::cancel::Cancel),
    /// Answers a message for its recipient.
    Answer(commands::answer::Answer),
    /// Asks people for decisions, and shows, lists and withdraws what was asked.
    #[command(subcommand)]
    Authorise(commands::authorise::Authorise),
    /// Watches a table of the host application for events, and lists and removes watches.
    Watch(commands::watch::Watch),
    /// Imports, lists, removes and tries the rules by which events become messages.
    #[command(subcommand)]
    EventRule(commands::event_rule::Rule),
    /// Adds, lists and removes programs that are told of answers, and tells them again.
    #[command(subcommand)]
    Webhook(commands::webhook::Webhook),
    /// Waits until a message is answered or an authorisation decided, and prints how.
    Wait(commands::wait::Wait),
    /// Prints the script that completes Herald's commands in a shell.
    Completions {
        /// bash, elvish, fish, powershell or zsh.
        shell: clap_complete::Shell,
    },
    /// Shows what is pending for a user.
    Inbox(commands::inbox::Inbox),
    /// Lists, shows, adds, changes and deletes message types.
    #[command(subcommand)]
    Type(commands::message_type::Type),
    /// Lists, shows, adds, changes and deletes choice sets, which replies are chosen from.
    #[command(subcommand)]
    Choice(commands::choice::Choice),
    /// Adds, imports, changes, lists and deactivates users.
    #[command(subcommand)]
    User(commands::user::User),
    /// Makes, lists and revokes API tokens.
    #[command(subcommand)]
    Token(commands::token::Token),
    /// Says which roles of the database may send from SQL, and as whom.
    #[command(subcommand)]
    Grant(commands::grant::Grant),
    /// Says which tables templates and rules may read.
    #[command(subcommand)]
    Model(commands::model::Model),
    /// Lists, checks, previews and saves message templates.
    #[command(subcommand)]
    Template(commands::template::Template),
    /// Lists, saves, checks, tries and runs reminder rules.
    #[command(subcommand)]
    Reminder(commands::reminder::Reminder),
    /// Lists the periodic jobs, and runs one now.
    #[command(subcommand)]
    Periodic(commands::periodic::Periodic),
    /// Deletes what has been kept for long enough, as the periodic job does; or shows what would go.
    Purge(commands::purge::Purge),
    /// Lists, replays and drops jobs that failed for good.
    #[command(subcommand)]
    Dead(commands::dead::Dead),
    /// Lists, shows, retries and cancels the copies that go out by e-mail and SMS.
    #[command(subcommand)]
    Delivery(commands::delivery::Delivery),
    /// Reads one bounce mail from standard input: the end of a pipe from the mail server that gets them.
    Bounce(commands::bounce::Bounce),
    /// Lists, adds and lifts addresses that get no copies.
    #[command(subcommand)]
    Suppression(commands::suppression::Suppression),
    /// Reads and sets the Application Registry (mail server and so on), and seals its secrets.
    #[command(subcommand)]
    Registry(commands::registry::Registry),
    /// Sends a test by e-mail or SMS, and says what fails.
    #[command(subcommand)]
    Check(commands::check::Check),
    /// Looks at database, Redis, mail, keys, rules, answers and clocks, and says what to do about what is wrong.
    Doctor,
    /// Shows the settings in force.
    Config(commands::config::Show),
    /// Runs Herald with a small demo company, on private servers.
    Demo(commands::demo::Demo),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let failure = match arguments.command {
        // A bounce that could not be dealt with, for whatever reason, is not lost: the mail server keeps it.
        Command::Bounce(_) => Some(ExitCode::from(commands::TRY_AGAIN)),
        _ => None,
    };
    match run(arguments).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("herald: {error:#}");
            failure.unwrap_or_else(|| commands::exit_code(&error))
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    // One crypto stack for all connections; an earlier choice of another library would stand.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Command::Completions { shell } = arguments.command {
        clap_complete::generate(shell, &mut Arguments::command(), "herald", &mut std::io::stdout());
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::load(arguments.config.as_deref())?;
    let done = match arguments.command {
        Command::Run(run) => return run.run(config).await,
        Command::Wait(wait) => return wait.run(config).await,
        Command::Watch(watch) => watch.run(config).await,
        Command::EventRule(rule) => rule.run(config).await,
        Command::Webhook(webhook) => webhook.run(config).await,
        Command::Answer(answer) => answer.run(config).await,
        Command::Authorise(authorise) => authorise.run(config).await,
        Command::Serve => commands::serve::serve(config).await,
        Command::Worker => commands::serve::worker(config).await,
        Command::Web => commands::serve::web(config).await,
        Command::Migrate => commands::migrate(config).await,
        Command::Send(send) => send.run(config).await,
        Command::Cancel(cancel) => cancel.run(config).await,
        Command::Completions { .. } => Ok(()),
        Command::Output(output) => output.run(config).await,
        Command::Inbox(inbox) => inbox.run(config).await,
        Command::Type(kind) => kind.run(config).await,
        Command::Choice(choice) => choice.run(config).await,
        Command::User(user) => user.run(config).await,
        Command::Token(token) => token.run(config).await,
        Command::Grant(grant) => grant.run(config).await,
        Command::Model(model) => model.run(config).await,
        Command::Template(template) => template.run(config).await,
        Command::Reminder(reminder) => reminder.run(config).await,
        Command::Periodic(periodic) => periodic.run(config).await,
        Command::Purge(purge) => purge.run(config).await,
        Command::Dead(dead) => dead.run(config).await,
        Command::Delivery(delivery) => delivery.run(config).await,
        Command::Bounce(bounce) => bounce.run(config).await,
        Command::Suppression(suppression) => suppression.run(config).await,
        Command::Registry(registry) => registry.run(config).await,
        Command::Check(check) => check.run(config).await,
        Command::Doctor => commands::doctor::run(config).await,
        Command::Config(show) => show.run(&config),
        Command::Demo(demo) => demo.run(config).await,
    };
    done.map(|()| ExitCode::SUCCESS)
}
