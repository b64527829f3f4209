//! `herald check` and `herald doctor`: what they say of a Herald that works, and of one that does not.

use std::process::Output;

use herald::catcher::{Answer, Behaviour, Deed, Phase, show};

use crate::support::herald::Story;

async fn check(story: &Story, arguments: &[&str]) -> Output {
    story.run(&[&["check", "email", "--to", "ann@example.com"], arguments].concat()).await
}

async fn failure(story: &Story) -> String {
    let output = check(story, &[]).await;
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[tokio::test]
async fn c22_check_sms_sends_an_sms_and_explains_what_fails() {
    let story = Story::begin().await;
    let check = async |to: &str| story.run(&["check", "sms", "--to", to]).await;
    let failure = async |to: &str| {
        let output = check(to).await;
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    };
    let number = "+49 170 1234567";
    assert!(failure(number).await.contains("SMS is off: SMS-PROVIDER turns it on"));
    assert!(failure("+49 170").await.contains("--to: is no number of its country's plan"));
    let gateway = story.sms_gateway().await;
    assert!(failure(number).await.contains("SMS-URL: 127.0.0.1 is a private address"));
    let allowed = async || {
        let mut command = story.command(&["check", "sms", "--to", number]);
        command.env("HERALD__SMS__ALLOW_PRIVATE", "true").output().await.unwrap()
    };
    let output = allowed().await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "127.0.0.1 took the SMS: SM00000001\n");
    assert_eq!(gateway.list()[0].fields["to"], "+491701234567");
    for (answer, expected) in [
        (Answer::Refuse(401), "(look at SMS-ACCOUNT and SMS-PASSWORD"),
        (Answer::Refuse(400), "(look at the number, SMS-FROM and SMS-BODY)"),
        (Answer::Refuse(404), "(look at SMS-URL and SMS-METHOD"),
        (Answer::Refuse(500), "may have been sent or not"),
        (Answer::Later(60), "(come back later, as the provider asks)"),
        (Answer::TakeAndMumble, "SMS-ID names nothing in this answer"),
    ] {
        gateway.answer_next([answer]);
        let output = allowed().await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(expected), "{answer:?}: {said}");
    }
}

#[tokio::test]
async fn c22_check_email_sends_a_mail_and_explains_what_fails() {
    let story = Story::begin().await;
    assert!(failure(&story).await.contains("e-mail is not configured: SMTP-SERVER is not set"));
    let catcher = story.mail_catcher().await;
    let output = check(&story, &[]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("took the mail: 250 "));
    let mail = catcher.mailbox().get(1).unwrap();
    assert_eq!((mail.from.as_str(), mail.to.join(" ").as_str()), ("herald@herald.test", "ann@example.com"));
    assert_eq!(show(&mail.raw).unwrap().subject, "Herald: the mail connection works");

    for (phase, code, expected) in [
        (Phase::Mail, 553, "The server refused the sender: 553 told you (look at SMTP-FROM"),
        (Phase::Rcpt, 550, "The server refused the recipient: 550 told you"),
        (Phase::Rcpt, 450, "The server did not take the recipient this time: 450 told you"),
        (Phase::Dot, 554, "The server refused the message: 554 told you"),
    ] {
        catcher.set_behaviour(Behaviour::at(phase, Deed::answer(code, "told you")));
        let said = failure(&story).await;
        assert!(said.contains(expected), "{said}");
    }
    catcher.set_behaviour(Behaviour::default());
    story.register(&[("SMTP-SECURITY", None)]).await;
    let said = failure(&story).await;
    assert!(said.contains("does not offer STARTTLS") && said.contains("SMTP-SECURITY"), "{said}");
    story.register(&[("SMTP-SERVER", Some("no-such-host.invalid"))]).await;
    let said = failure(&story).await;
    assert!(
        said.contains("no-such-host.invalid could not be looked up")
            && said.contains("(look at SMTP-SERVER)"),
        "{said}"
    );
    story.register(&[("SMTP-SERVER", Some("127.0.0.1")), ("SMTP-PORT", Some("1"))]).await;
    let said = failure(&story).await;
    assert!(said.contains("port 1, cannot be reached: Connection refused"), "{said}");
    let output = story.run(&["check", "email", "--to", "nobody"]).await;
    assert!(String::from_utf8_lossy(&output.stderr).contains("--to"));
}

#[tokio::test]
async fn c22_a_traced_check_shows_the_conversation_without_the_password() {
    let (story, password) = (Story::begin().await, "canary-p4ss");
    let catcher = story.mail_catcher().await;
    let key = story.say(&["registry", "new-key"]).await;
    let run = async |arguments: &[&str], input: &str| {
        let mut command = story.command(arguments);
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::write(dir.path().join("in"), input).unwrap();
        command.env("HERALD_KEYS", key.trim()).stdin(std::fs::File::open(dir.path().join("in")).unwrap());
        command.output().await.unwrap()
    };
    assert!(run(&["registry", "set", "SMTP-PASSWORD", "-"], password).await.status.success());
    story.register(&[("SMTP-USERNAME", Some("herald"))]).await;
    let trace = ["check", "email", "--to", "ann@example.com", "--trace"];
    for (extensions, spoken) in [("AUTH PLAIN", "> AUTH PLAIN ***\n"), ("AUTH LOGIN", "> AUTH LOGIN\n")] {
        catcher
            .set_behaviour(Behaviour::at(Phase::Ehlo, Deed::answer(250, format!("catcher\n{extensions}"))));
        let output = run(&trace, "").await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        for line in [
            "> EHLO ",
            "< 250 AUTH",
            spoken,
            "***",
            "> MAIL FROM:<herald@herald.test>",
            "> DATA\n",
            "> QUIT\n",
        ] {
            assert!(said.contains(line), "{line} is not in {said}");
        }
        for secret in [password, "Y2FuYXJ5LXA0c3M", "AGhlcmFsZABjYW5hcnktcDRzcw"] {
            assert!(!said.contains(secret), "{said}");
        }
    }
    // A server that repeats what it was told.
    catcher.set_behaviour(Behaviour::at(Phase::Auth, Deed::answer(535, "no such thing: canary-p4ss")));
    let output = run(&trace, "").await;
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert!(said.contains("did not let \"herald\" sign in") && said.contains("SMTP-PASSWORD"), "{said}");
    assert!(said.contains("< 535 no such thing: ***") && !said.contains(password), "{said}");
}

#[tokio::test]
async fn c22_the_doctor_says_what_is_right_and_what_to_do_about_the_rest() {
    let story = Story::begin().await;
    let well = story.say(&["doctor"]).await;
    for line in [
        "ok       database: reached, and its schema is up to date\n",
        "warning  keys: there are none",
        "warning  e-mail: waits, not configured: SMTP-SERVER is not set",
        "ok       models: none",
        "ok       clocks: Postgres",
        "ok       clocks: Redis",
    ] {
        assert!(well.contains(line), "{line} is not in\n{well}");
    }
    let _catcher = story.mail_catcher().await;
    let mut redis = story.plain_redis().await;
    for (setting, value) in [("maxmemory-policy", "allkeys-lru"), ("appendonly", "no")] {
        redis::cmd("CONFIG").arg(&["SET", setting, value]).exec_async(&mut redis).await.unwrap();
    }
    story
        .execute("update herald.registry set value = 'herald:1:abcd:AAAA' where key = 'SMTP-PASSWORD'")
        .await;
    let ill = story.run(&["doctor"]).await;
    assert_eq!(ill.status.code(), Some(1));
    let said = String::from_utf8(ill.stdout).unwrap();
    for line in [
        "wrong    Redis: throws jobs away when it is full (allkeys-lru): set maxmemory-policy noeviction\n",
        "warning  Redis: the fast lane loses what it holds",
        "wrong    keys: SMTP-PASSWORD cannot be opened",
        "ok       e-mail: goes to 127.0.0.1",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
    assert!(String::from_utf8_lossy(&ill.stderr).contains("2 things are wrong"));
    story.execute("delete from herald.schema_migration where version = (select max(version) from herald.schema_migration)").await;
    let said = String::from_utf8(story.run(&["doctor"]).await.stdout).unwrap();
    assert!(said.contains("wrong    database: its schema") && said.contains("`herald migrate`"), "{said}");
}
