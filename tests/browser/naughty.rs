//! The big list of naughty strings, as every text of a message, in a browser that would run what is in them.

use herald_producers::NewMessage;
use serde_json::json;

use super::stage::{Stage, message};

#[tokio::test]
async fn no_naughty_string_runs_a_script_or_breaks_the_layout() {
    let stage = Stage::start().await;
    stage.resize(320, 640).await;
    stage.log_in().await;
    let strings: Vec<String> = serde_json::from_str(include_str!("../data/naughty-strings.json")).unwrap();
    let mut sent = 0;
    for text in &strings {
        let short =
            |most| Some(text.chars().take(most).collect::<String>()).filter(|it| !it.trim().is_empty());
        let message = NewMessage {
            message_text: text.clone(),
            subject: short(100),
            sender_instance: short(50),
            action_parameters: Some(vec![text.clone().into()]),
            ..message("APPROVE", "")
        };
        // What is not a text at all is refused.
        sent += usize::from(stage.producer.send(message).await.is_ok());
    }
    assert!(sent > strings.len() * 9 / 10, "{sent} of {} are texts", strings.len());
    stage.counts_become("0", &sent.to_string()).await;
    let (mut path, mut seen) = (Some("/messages".to_owned()), 0);
    while let Some(address) = path {
        stage.go(&address).await;
        seen += stage.many("[data-row]").await;
        // A dialog that a script had opened would fail each command from here on.
        let script = "return [document.querySelectorAll('script:not([src]), main img, main iframe, main object, main embed, main style, main svg:not(.icon)').length,
            [...document.querySelectorAll('main a')].filter((it) => it.origin !== location.origin).length,
            [...document.querySelectorAll('main *')].filter((it) => [...it.attributes].some((at) => at.name.startsWith('on'))).length]";
        assert_eq!(stage.run(script, vec![]).await, json!([0, 0, 0]), "{address}");
        assert_eq!(stage.overflow().await, 0, "{address} is wider than the screen");
        let next = "return document.querySelector('[rel=next]')?.getAttribute('href')";
        path = stage.run(next, vec![]).await.as_str().map(str::to_owned);
    }
    assert_eq!(seen, sent);
    stage.end().await;
}
