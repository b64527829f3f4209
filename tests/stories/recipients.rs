//! Who can be written to, and what addresses, names and texts can do to a mail.

use herald::catcher::show;
use herald_jobs::deliver::DeliveryState;
use herald_jobs::message_type::ExternalDelivery;
use herald_producers::{MessageId, NewContact, NewMessage, SendError};
use sqlx::Row as _;
use uuid::Uuid;

use crate::support::eventually;
use crate::support::herald::{Story, message};

/// What is refused by every way in.
fn bad_addresses() -> Vec<String> {
    let fixed = [
        "",
        "plain",
        "@example.com",
        "ann@",
        "ann@example",
        "ann@localhost",
        "ann@.example.com",
        "ann@example.com.",
        "ann@example..com",
        "ann@-example.com",
        "ann@example-.com",
        "ann@exa_mple.com",
        "ann@exam ple.com",
        "ann@127.0.0.1",
        "ann@[127.0.0.1]",
        "ann@[IPv6:::1]",
        "ann@0x7f.1",
        "ann@example.123",
        "ann@example.c",
        "ann@exa%6dple.com",
        "ann@example.com/x",
        "ann@example.com:25",
        "a@b@example.com",
        "-ann@example.com",
        "--help@example.com",
        ".ann@example.com",
        "ann.@example.com",
        "a..b@example.com",
        "ann o@example.com",
        "\"ann o\"@example.com",
        "ann(comment)@example.com",
        "ann,bob@example.com",
        "ann@example.com,bob@example.com",
        "ann@example.com bob@example.com",
        "<ann@example.com>",
        "Ann <ann@example.com>",
        "ann:x@example.com",
        "ann;x@example.com",
        "ann\\x@example.com",
        "zoë@example.com",
        "ann@example.com\r\nRCPT TO:<evil@example.com>",
        "ann\r\nBcc: evil@example.com\r\n@example.com",
        "ann\tx@example.com",
        "ann\u{7f}@example.com",
        "ann@example.com>\r\nDATA",
        "ann@exa\u{202e}mple.com",
    ];
    let mut all: Vec<String> = fixed.map(str::to_owned).to_vec();
    all.push(format!("{}@example.com", "a".repeat(65)));
    all.push(format!("ann@{}.example.com", "a".repeat(64)));
    all.push(format!("ann@{}com", "abcdefghi.".repeat(26)));
    all
}

const GOOD: [&str; 6] = [
    "ann@example.com",
    "Ann.O'Hara+news@mail.example.com",
    "!#$%&'*+/=?^_`{|}~@example.com",
    "a@b.cd",
    "ann@xn--mnchen-3ya.example",
    "x-@1.example.museum",
];

fn contact(reference: &str) -> NewContact {
    NewContact { contact_reference: reference.into(), email_mode: "To".into() }
}

fn with_contacts(references: &[&str]) -> NewMessage {
    let recipients = references.iter().map(|reference| contact(reference)).collect();
    NewMessage { recipients, ..message("ann", "VIEW-NORMAL", "x") }
}

async fn begin() -> Story {
    let story = Story::begin().await;
    story.add_type("MAIL", |kind| kind.external_delivery = ExternalDelivery::Email).await;
    story
}

async fn state(story: &Story, message: MessageId) -> (DeliveryState, String) {
    let [copy] = story.copies(message).await.try_into().unwrap();
    (copy.state, copy.reason.unwrap_or_default())
}

#[tokio::test]
async fn a_torture_list_of_addresses_is_refused_by_every_way_in_naming_the_field() {
    let story = begin().await;
    let id = story.producer.send(message("ann", "VIEW-NORMAL", "x")).await.unwrap();
    let by_sql = async |reference: &str| {
        sqlx::query("select herald.add_recipient($1, $2)")
            .bind(id.0)
            .bind(reference)
            .execute(&story.pool)
            .await
    };
    for bad in bad_addresses() {
        let refusal = story.producer.send(with_contacts(&["ann@example.com", &bad])).await.unwrap_err();
        let SendError::Refused(refusal) = refusal else { panic!("{bad:?}: {refusal}") };
        assert_eq!(refusal.field, "recipients/1/contact_reference", "{bad:?}");
        let SendError::Refused(refusal) = story.producer.add_recipient(id, &contact(&bad)).await.unwrap_err()
        else {
            panic!("{bad:?}")
        };
        assert_eq!(refusal.field, "contact_reference", "{bad:?}");
        let error = by_sql(&bad).await.expect_err(&bad).to_string();
        assert!(error.contains("contact_reference: "), "{bad:?}: {error}");
    }
    for good in GOOD {
        story.producer.send(with_contacts(&[good])).await.unwrap();
        story.producer.add_recipient(id, &contact(good)).await.unwrap();
        by_sql(good).await.unwrap();
    }
    let copies = story.copies(id).await;
    assert_eq!(copies.len(), GOOD.len(), "one copy for each, whichever way it came: {copies:?}");
}

#[tokio::test]
async fn the_same_address_twice_is_one_copy_whatever_the_case_of_its_domain() {
    let story = begin().await;
    story.execute("update herald.app_user set email = 'Ann@Example.COM' where username = 'ann'").await;
    let (workers, catcher) = (story.work().await, story.mail_catcher().await);
    let contacts = [
        "Ann@example.com",
        "x@EXAMPLE.com",
        "x@example.com",
        "y@München.example",
        "y@xn--mnchen-3ya.EXAMPLE",
    ];
    let new = NewMessage { message_type: "MAIL".into(), ..with_contacts(&contacts) };
    let id = story.producer.send(new).await.unwrap();
    story.drain().await;
    sqlx::query("select herald.add_recipient($1, 'x@Example.Com')")
        .bind(id.0)
        .execute(&story.pool)
        .await
        .unwrap();
    story.drain().await;
    let mut to: Vec<String> = catcher.mailbox().list().iter().flat_map(|mail| mail.to.clone()).collect();
    to.sort();
    assert_eq!(to, ["Ann@example.com", "x@example.com", "y@xn--mnchen-3ya.example"]);
    workers.stop().await;
}

#[tokio::test]
async fn a_domain_in_other_letters_goes_over_the_wire_in_ascii() {
    let story = begin().await;
    let (workers, catcher) = (story.work().await, story.mail_catcher().await);
    story.producer.send(with_contacts(&["zoe@Bücher.example"])).await.unwrap();
    // By SQL it is kept as it was given, and turned on its way out.
    let id = story.producer.send(message("bob", "VIEW-NORMAL", "x")).await.unwrap();
    sqlx::query("select herald.add_recipient($1, 'tom@bücher.example')")
        .bind(id.0)
        .execute(&story.pool)
        .await
        .unwrap();
    // A copy that is older than its message is looked at now and then until that has come.
    eventually("both mails", async || catcher.mailbox().taken() == 2).await;
    let mut to: Vec<String> = catcher.mailbox().list().iter().flat_map(|mail| mail.to.clone()).collect();
    to.sort();
    assert_eq!(to, ["tom@xn--bcher-kva.example", "zoe@xn--bcher-kva.example"]);
    assert!(catcher.mailbox().list().iter().all(|mail| mail.raw.is_ascii()));
    workers.stop().await;
}

#[tokio::test]
async fn a_user_with_no_address_or_an_impossible_one_is_told_in_the_ledger_and_stops_nobody_else() {
    let story = begin().await;
    let (workers, catcher) = (story.work().await, story.mail_catcher().await);
    let cases = [
        ("null", DeliveryState::Suppressed, "the user has no e-mail address"),
        ("' '", DeliveryState::Suppressed, "the user has no e-mail address"),
        ("'zoë@example.com'", DeliveryState::Failed, "SMTPUTF8"),
        ("'-f@example.com'", DeliveryState::Failed, "must not begin with a dash"),
        (r"E'a@example.com\r\nRCPT TO:<evil@example.com>'", DeliveryState::Failed, "control characters"),
    ];
    for (number, (email, expected, reason)) in cases.into_iter().enumerate() {
        let user = format!("user-{number}");
        story
            .execute(&format!("insert into herald.app_user (username, email) values ('{user}', {email})"))
            .await;
        let id = story.producer.send(message(&user, "MAIL", "x")).await.unwrap();
        story.drain().await;
        let (state, said) = state(&story, id).await;
        assert!(state == expected && said.contains(reason), "{email}: {state} {said}");
        assert!(!said.contains(char::is_control), "{said:?}");
    }
    assert_eq!(catcher.mailbox().taken(), 0);
    story.execute("update herald.app_user set email = '-f@example.com' where username = 'ann'").await;
    let both = NewMessage { message_type: "MAIL".into(), ..with_contacts(&["bob@example.com"]) };
    story.producer.send(both).await.unwrap();
    story.drain().await;
    let [mail] = catcher.mailbox().list().try_into().unwrap();
    assert_eq!(
        (mail.to.as_slice(), show(&mail.raw).unwrap().to),
        (&["bob@example.com".to_owned()][..], vec!["bob@example.com".to_owned()])
    );
    workers.stop().await;
}

const ATTACK: &str = "x\r\nBcc: evil@example.com\r\n\r\n.\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<evil@example.com>\r\nDATA\r\n\n.\n\r.\r";

#[tokio::test]
async fn what_would_break_out_of_its_place_in_a_mail_is_refused_at_the_door() {
    let story = begin().await;
    type Change = fn(&mut NewMessage, &str);
    let fields: [(&str, Change); 5] = [
        ("subject", |new, text| new.subject = Some(text.into())),
        ("sender", |new, text| new.sender = text.into()),
        ("sender_instance", |new, text| new.sender_instance = Some(text.into())),
        ("recipient", |new, text| new.recipient = text.into()),
        ("recipients/0/email_mode", |new, text| {
            new.recipients = vec![NewContact { email_mode: text.into(), ..contact("a@example.com") }];
        }),
    ];
    for (field, change) in fields {
        for text in [ATTACK, "x\ny", "x\ry", "x\0y", &"x".repeat(1024 * 1024)] {
            let mut new = message("ann", "MAIL", "x");
            change(&mut new, text);
            let refused = story.producer.send(new).await.unwrap_err();
            assert!(matches!(&refused, SendError::Refused(it) if it.field == field), "{field}: {refused}");
        }
    }
    assert_eq!(story.count("select count(*) from herald.outbox").await, 0);
}

#[tokio::test]
async fn what_comes_in_behind_the_door_is_harmless_in_the_mail() {
    let story = begin().await;
    let (workers, catcher) = (story.work().await, story.mail_catcher().await);
    for hostile in
        [ATTACK.to_owned(), "=?utf-8?q?x=0D=0ABcc:_evil@example.com?=".into(), "long ".repeat(200_000)]
    {
        catcher.mailbox().clear();
        for sql in [
            "update herald.app_user set display_name = $1",
            "update herald.message_type set description = $1 where code = 'MAIL'",
        ] {
            sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()))
                .bind(&hostile)
                .execute(&story.pool)
                .await
                .unwrap();
        }
        // Types and users are kept in memory until a notification has come.
        let mut at_work = String::new();
        while at_work != hostile {
            let id = story.producer.send(message("ann", "MAIL", &format!("{ATTACK}end"))).await.unwrap();
            story.drain().await;
            let row = sqlx::query("select subject from herald.message where id = $1").bind(id.0);
            at_work = row.fetch_one(&story.pool).await.unwrap().get(0);
        }
        let mails = catcher.mailbox().list();
        for mail in &mails {
            assert_eq!(
                (mail.from.as_str(), mail.to.as_slice()),
                ("herald@herald.test", &["ann@example.com".to_owned()][..])
            );
            let shown = show(&mail.raw).unwrap();
            let names: Vec<&str> = shown.headers.iter().map(|(name, _)| name.as_str()).collect();
            assert!(!names.iter().any(|name| name.eq_ignore_ascii_case("bcc")), "{names:?}");
            assert!(
                shown.subject.chars().count() <= 500 && !shown.subject.contains(char::is_control),
                "{:?}",
                shown.subject
            );
            assert_eq!(shown.to.len(), 1, "{:?}", shown.to);
            let text = shown.text.unwrap();
            assert!(
                text.trim_end().ends_with("end") && text.contains("\r\n.\r\nMAIL FROM:<evil@example.com>"),
                "{text:?}"
            );
            let longest = mail.raw.split(|&byte| byte == b'\n').map(<[u8]>::len).max().unwrap();
            assert!(longest <= 999, "a line of {longest} bytes");
        }
    }
    let tried = catcher.mailbox().attempts();
    assert!(tried.iter().all(|attempt| attempt.to == "ann@example.com"), "{tried:?}");
    workers.stop().await;
}

#[tokio::test]
async fn a_contact_that_only_sql_takes_costs_nobody_else_the_message() {
    let story = Story::begin().await;
    let workers = story.work().await;
    let id: Uuid = sqlx::query_scalar(
        r#"select herald.send_message('ann', 'x', 'VIEW-NORMAL', 'report', '7',
               recipients => '[{"contact_reference": "hana@xn--0.example"}, {"contact_reference": "ok@example.com"}]')"#,
    )
    .fetch_one(&story.pool)
    .await
    .unwrap();
    eventually("the inbox", async || story.delivered().await.contains(&id)).await;
    let copies = story.copies(MessageId(id)).await;
    let bad = copies.iter().find(|copy| copy.address == "hana@xn--0.example").unwrap();
    assert_eq!(
        (bad.state, bad.reason.as_deref()),
        (DeliveryState::Suppressed, Some("the address cannot be written to"))
    );
    assert_eq!(copies.len(), 2);
    workers.stop().await;
}
