//! Postfix' own test server, in each of its faults.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use herald_workers::smtp::Verdict;
use tokio::net::TcpStream;

use crate::port::free_port;

use super::support::{AMPLE, message, open_and_send, server_at};

struct SmtpSink {
    child: Child,
    port: u16,
}

impl SmtpSink {
    async fn start(options: &[&str]) -> Self {
        let port = free_port();
        let mut command = Command::new(program());
        // Started by root it wants to be told who to be.
        if nix::unistd::geteuid().is_root() {
            command.args(["-u", "nobody"]);
        }
        let child = command
            .args(options)
            .args([&format!("127.0.0.1:{port}"), "10"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let sink = Self { child, port };
        let listens = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(AMPLE, listens).await.expect("smtp-sink listens");
        sink
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    let home = herald::private::home().unwrap();
    let places = [home.join("pkg/bin"), "/usr/sbin".into(), "/usr/libexec/postfix".into()];
    let found = places.into_iter().map(|dir| dir.join("smtp-sink")).find(|program| program.is_file());
    found.expect("no smtp-sink: run scripts/setup mail")
}

/// What is known of one mail that was sent to such a server.
async fn outcome(options: &[&str]) -> &'static str {
    let sink = SmtpSink::start(options).await;
    match open_and_send(&server_at(sink.port), &message(2_000)).await {
        Ok(Verdict::Sent { .. }) => "sent",
        Ok(Verdict::Refused { .. }) => "refused",
        Ok(Verdict::Deferred { .. }) => "deferred",
        Ok(Verdict::Unknown { .. }) => "unknown",
        Ok(Verdict::Abandoned) => "abandoned",
        Ok(Verdict::Fault(_)) | Err(_) => "fault",
    }
}

#[tokio::test]
async fn each_fault_of_smtp_sink_is_taken_for_what_it_is() {
    for (options, expected) in [
        (&[][..], "sent"),
        // What it does not offer.
        (&["-p"], "sent"),
        (&["-8"], "sent"),
        (&["-E"], "sent"),
        (&["-a"], "sent"),
        // Late.
        (&["-w", "1"], "sent"),
        // Refused for good, by 5xx.
        (&["-f", "connect"], "fault"),
        (&["-f", "mail"], "fault"),
        (&["-f", "rcpt"], "refused"),
        (&["-f", "data"], "refused"),
        (&["-f", "."], "refused"),
        // Refused for now, by 4xx.
        (&["-r", "connect"], "fault"),
        (&["-r", "ehlo"], "fault"),
        (&["-r", "mail"], "deferred"),
        (&["-r", "rcpt"], "deferred"),
        (&["-r", "data"], "deferred"),
        (&["-r", "."], "deferred"),
        // Cut off: only after the final dot is anything in doubt.
        (&["-q", "connect"], "fault"),
        (&["-q", "ehlo"], "fault"),
        (&["-q", "mail"], "deferred"),
        (&["-q", "rcpt"], "deferred"),
        (&["-q", "data"], "deferred"),
        (&["-q", "."], "unknown"),
    ] {
        assert_eq!(outcome(options).await, expected, "{options:?}");
    }
}
