//! Task queues as producers: any apalis worker, and any program.

use std::process::Stdio;
use std::time::Duration;

use apalis::prelude::{
    MemoryStorage, TaskBuilder, TaskId, TaskSink as _, WorkerBuilder, WorkerBuilderExt as _, WorkerContext,
};
use herald_producers::task_queue::{Notify, NotifyLayer};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::eventually;
use crate::support::herald::Story;

#[tokio::test]
async fn c03a_a_task_queue_tells_who_submitted_how_it_ended() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let mut storage = MemoryStorage::new();
    let task = |number: u32, id: &str| {
        TaskBuilder::new(number)
            .task_id(TaskId::from_string(id))
            .metadata(&Notify::new("ann", &format!("Report {number}")))
    };
    let quiet = Notify { on_success: None, ..Notify::new("ann", "Quiet") };
    let tasks = [
        task(1, "one").build(),
        // Handed out a second time.
        task(1, "one").build(),
        task(13, "thirteen").build(),
        task(14, "fourteen").build(),
        // It is tried again, so that this is no end.
        task(13, "again").max_attempts(3).build(),
        TaskBuilder::new(2).task_id(TaskId::from_string("quiet")).metadata(&quiet).build(),
        TaskBuilder::new(3).build(),
    ];
    for task in tasks {
        storage.push_task(task).await.unwrap();
    }
    let (done, mut count) = tokio::sync::mpsc::unbounded_channel();
    let worker = WorkerBuilder::new("reports")
        .backend(storage)
        .layer(NotifyLayer::new(story.producer.clone(), "report_task"))
        .catch_panic()
        .build(move |number: u32, _: WorkerContext| {
            done.send(number).unwrap();
            async move {
                match number {
                    13 => Err("no such month".to_owned()),
                    14 => panic!("out of paper"),
                    _ => Ok(()),
                }
            }
        });
    let running = tokio::spawn(worker.run());
    for _ in 0..7 {
        count.recv().await.unwrap();
    }
    eventually("the ends to be told", async || {
        story.pending("ann", false).await.len() == 1 && story.pending("ann", true).await.len() == 2
    })
    .await;
    let [said] = story.pending("ann", false).await.try_into().unwrap();
    assert!(said.message_text.starts_with("Report 1: done after "), "{}", said.message_text);
    assert_eq!((said.sender.as_str(), said.sender_instance.as_deref()), ("report_task", Some("one")));
    let mut failures: Vec<String> =
        story.pending("ann", true).await.into_iter().map(|alert| alert.message_text).collect();
    failures.sort();
    assert!(
        failures[0].starts_with("Report 13: failed after ") && failures[0].ends_with("no such month"),
        "{failures:?}"
    );
    assert!(
        failures[1].starts_with("Report 14: failed") && failures[1].contains("out of paper"),
        "{failures:?}"
    );
    assert_eq!(story.count("select count(*) from herald.message").await, 3, "nobody else is told anything");
    running.abort();
    workers.stop().await;
}

#[tokio::test]
async fn c03a_any_program_is_run_and_its_end_is_told() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let script = "read line; echo \"got $line\"; echo oops >&2; exit 3";
    let output = story
        .run_with_input(&["run", "--notify", "ann", "--name", "Backup", "--", "sh", "-c", script], "input\n")
        .await;
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        (output.stdout.as_slice(), output.stderr.as_slice()),
        (b"got input\n".as_slice(), b"oops\n".as_slice())
    );
    story.drain().await;
    let [alert] = story.pending("ann", true).await.try_into().unwrap();
    assert!(
        alert.message_text.starts_with("Backup failed with exit code 3 after "),
        "{}",
        alert.message_text
    );
    assert!(
        alert.message_text.contains("got input") && alert.message_text.contains("oops"),
        "{}",
        alert.message_text
    );
    assert_eq!(alert.sender_instance.as_deref(), Some("sh"));

    // Done; told on failure alone; started not at all; and nobody to tell.
    for (arguments, code, messages, alerts) in [
        (&["--notify", "ann", "--", "true"][..], 0, 1, 1),
        (&["--notify", "ann", "--on", "failure", "--", "true"], 0, 1, 1),
        (&["--notify", "ann", "--on", "success", "--", "false"], 1, 1, 1),
        (&["--notify", "ann", "--", "no-such-program"], 127, 1, 2),
        (&["--notify", "ann", "--", "sh", "-c", "kill -KILL $$"], 137, 1, 3),
        (&["--notify", "nobody", "--", "sh", "-c", "exit 4"], 4, 1, 3),
    ] {
        let output = story.run(&[&["run"], arguments].concat()).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert_eq!(
            said.contains("nobody was not told: recipient: "),
            arguments.contains(&"nobody"),
            "{said}"
        );
        story.drain().await;
        let found = (story.pending("ann", false).await.len(), story.pending("ann", true).await.len());
        assert_eq!(found, (messages, alerts), "{arguments:?}");
    }
    workers.stop().await;
}

#[tokio::test]
async fn c03a_signals_reach_the_program_that_is_run() {
    let story = Story::begin().await;
    let script = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done";
    let mut command = story.command(&["run", "--notify", "ann", "--", "sh", "-c", script]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "ready");
    kill(Pid::from_raw(child.id().unwrap().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "bye");
    let ended = tokio::time::timeout(Duration::from_secs(30), child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(7));
    assert_eq!(story.count("select count(*) from herald.outbox").await, 1);
}

#[tokio::test]
async fn c03a_signals_reach_a_program_whose_output_nobody_reads_for_now() {
    let story = Story::begin().await;
    // Far more than pipes hold.
    let script = "echo ready; exec head -c 10000000 /dev/zero";
    let mut command = story.command(&["run", "--notify", "ann", "--", "sh", "-c", script]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "ready");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let pid = Pid::from_raw(child.id().unwrap().try_into().unwrap());
    // The first one ends the program; one that comes when it has ended, the waiting for its reader.
    eventually("both to end", async || {
        let ended = child.try_wait().unwrap().is_some();
        if !ended {
            kill(pid, Signal::SIGTERM).unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        ended
    })
    .await;
    assert_eq!(child.wait().await.unwrap().code(), Some(143));
    assert_eq!(story.count("select count(*) from herald.outbox").await, 1);
}
