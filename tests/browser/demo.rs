//! The demo's own pages, as they look: wide and on 320 pixels, in light and dark, without a barrier.

use crate::support::browser::Browser;
use crate::support::demo::{Demo, PATIENCE};
use crate::support::{eventually, within};

#[tokio::test]
async fn the_demos_own_pages_hold_no_barrier_and_show_what_comes() {
    let (demo, browser) = (Demo::start().await, Browser::start().await);
    let go = async |path: &str| browser.client.goto(&format!("{}{path}", demo.pages)).await.unwrap();
    go("/break").await;
    eventually("the figures", async || browser.text("[data-follow]").await.contains("The worker is process"))
        .await;
    browser.leave_by("form[action='/break/send'] button").await;
    eventually("the messages", async || browser.text("[data-follow]").await.contains("Sending:")).await;
    // What comes is shown without a new page.
    go("/").await;
    browser.run("window.isTheSame = true", vec![]).await;
    within(PATIENCE, "a mail", async || browser.text("[data-follow]").await.contains('@')).await;
    assert_eq!(browser.run("return window.isTheSame", vec![]).await, serde_json::json!(true));
    for scheme in ["light", "dark"] {
        browser.prefer("prefers-color-scheme", scheme).await;
        for (width, height) in [(1_280, 900), (320, 640)] {
            browser.resize(width, height).await;
            for (path, name) in
                [("/", "mails"), ("/mail/1", "mail"), ("/sms", "sms"), ("/po", "orders"), ("/break", "break")]
            {
                go(path).await;
                browser.find("main h1").await;
                browser.screenshot(&format!("{width}-{scheme}-demo-{name}")).await;
                assert_eq!(browser.barriers().await, Vec::<String>::new(), "{path}, {scheme}, {width}");
                assert!(browser.overflow().await <= 0, "{path} is wider than {width}");
            }
        }
    }
    let _ = browser.client.goto("about:blank").await;
    demo.end().await;
}
