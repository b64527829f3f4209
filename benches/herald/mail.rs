//! Inbox and mail, beside what Postfix' `smtp-source` and `smtp-sink` exchange over as many sessions.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use herald_jobs::message_type::Lane;

use crate::report::Report;
use crate::setup::Bench;

const MAILS: usize = 10_000;
/// The worker's default.
const SESSIONS: usize = 8;

struct Sink {
    child: Child,
    port: u16,
}

impl Sink {
    fn start() -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(program("smtp-sink")?);
        // Started by root it wants to be told who to be.
        if nix::unistd::Uid::effective().is_root() {
            command.args(["-u", "nobody"]);
        }
        let child = command
            .args([&format!("127.0.0.1:{port}"), "1000"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let sink = Self { child, port };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(begun.elapsed() < Duration::from_secs(5), "smtp-sink does not listen");
            std::thread::yield_now();
        }
        Ok(sink)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Postfix keeps these two beside its daemons.
fn program(name: &str) -> Result<PathBuf> {
    let home = herald::private::home()?;
    let mut places: Vec<PathBuf> =
        std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
    places.extend(["/usr/sbin".into(), home.join("pkg/bin")]);
    let found = places.into_iter().map(|dir| dir.join(name)).find(|program| program.is_file());
    found.with_context(|| format!("no {name}: run scripts/setup mail"))
}

pub(crate) async fn mail_vs_smtp(bench: &Bench, report: &mut Report) -> Result<()> {
    let sink = Sink::start()?;
    bench.mail_to(sink.port).await?;
    let worker = bench.worker().await?;
    let (mut ratios, mut rates, mut cpus) = (vec![], vec![], vec![]);
    for round in 0..6 {
        let raw = source(sink.port).await?;
        bench.clean().await?;
        worker.pause()?;
        let jobs: Vec<_> = (0..MAILS).map(|number| bench.job(number, "MAIL", None)).collect();
        bench.queues.send.lane(Lane::Normal).push_all(&jobs).await?;
        let (begun, cpu) = (Instant::now(), worker.cpu()?);
        worker.go_on()?;
        bench.drained(Duration::from_secs(60)).await?;
        while bench.queues.email.lane(Lane::Normal).jobs().await? > 0 {
            ensure!(begun.elapsed() < Duration::from_secs(120), "mails are left");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let (took, cpu) = (begun.elapsed().as_secs_f64(), worker.cpu()? - cpu);
        let sent: i64 = sqlx::query_scalar("select count(*) from herald.delivery where state = 'sent'")
            .fetch_one(&bench.pool)
            .await?;
        ensure!(usize::try_from(sent)? == MAILS, "only {sent} mails were sent");
        // The first round warms up.
        if round > 0 {
            ratios.push(MAILS as f64 / took / raw);
            rates.push(MAILS as f64 / took);
            cpus.push(cpu * 10_000.0 / MAILS as f64);
        }
    }
    report.figure("mail_per_s", &rates);
    report.ratio("mail_vs_smtp", &ratios);
    report.figure("worker_cpu_s_per_10k_mail", &cpus);
    report.figure("worker_peak_rss_mb_mail", &[worker.peak_rss()?]);
    Ok(())
}

/// Mails a second that Postfix' own source gets across, each session used again.
async fn source(port: u16) -> Result<f64> {
    let program = program("smtp-source")?;
    let (sessions, mails, to) = (SESSIONS.to_string(), MAILS.to_string(), format!("127.0.0.1:{port}"));
    tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        let status = Command::new(program)
            .args([
                "-d",
                "-s",
                &sessions,
                "-m",
                &mails,
                "-l",
                "700",
                "-f",
                "a@bench.example",
                "-t",
                "b@bench.example",
                &to,
            ])
            .stdin(Stdio::null())
            .status()?;
        ensure!(status.success(), "smtp-source failed");
        Ok(MAILS as f64 / begun.elapsed().as_secs_f64())
    })
    .await?
}
