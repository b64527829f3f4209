//! When the network goes, and comes back.

use super::stage::Stage;
use crate::support::eventually;
use crate::support::webdriver::Pointer;

#[tokio::test]
async fn offline_is_told_nothing_is_lost_and_back_again_the_page_follows() {
    let stage = Stage::for_ann().await;
    let view = stage.send("VIEW-NORMAL", "Your report is ready").await;
    let free = stage.send("FREE", "Which one?").await;
    stage.go("/messages").await;
    stage.offline(true).await;
    eventually("the word of it", async || {
        stage.text("[data-offline]:not([hidden])").await.contains("No connection")
    })
    .await;
    stage.find("textarea").await.send_keys("The blue one").await.unwrap();
    stage.point(Pointer::Click, "[data-all] input").await;
    stage.there_are(2, "[data-act]:checked").await;
    stage.point(Pointer::Click, "#post .bar .primary").await;
    eventually("the word of it", async || {
        stage.text("[data-not-posted]:not([hidden])").await.contains("What you chose is still here")
    })
    .await;
    assert_eq!(stage.many("[data-act]:checked").await, 2, "what was chosen is still there");
    stage.screenshot("offline").await;
    assert_eq!(stage.status(view).await, "pending");
    stage.send("ALERT-VIEW", "The cold room is too warm").await;

    stage.offline(false).await;
    stage.counts_become("1", "2").await;
    stage.find("[data-notices] .notice").await;
    eventually("the word to go", async || stage.text("[data-offline]:not([hidden])").await.is_empty()).await;
    stage.point(Pointer::Click, "#post .bar .primary").await;
    stage.becomes_acted(view).await;
    stage.becomes_acted(free).await;
    let standing = stage.producer.standing(free).await.unwrap().unwrap();
    assert_eq!(standing.reply_value.as_deref(), Some("The blue one"));
    stage.end().await;
}
