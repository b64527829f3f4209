//! The inbox in a page of the host application.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::response::Html;
use axum::routing::get;
use tokio::net::TcpListener;

use super::stage::{Stage, in_row};

/// A host application whose page shows the list in a frame. It is told later where the list is.
async fn host(inbox: Arc<OnceLock<String>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let page = move || async move {
        let list = inbox.get().map(|home| format!("{home}/messages")).unwrap_or_default();
        Html(format!(
            "<!doctype html><title>ERP</title><h1>Orders</h1><iframe width=900 height=700 src='{list}'></iframe>"
        ))
    };
    tokio::spawn(async { axum::serve(listener, Router::new().route("/", get(page))).await });
    origin
}

#[tokio::test]
async fn the_inbox_works_in_a_frame_of_the_named_host_and_of_no_other() {
    let inbox = Arc::new(OnceLock::new());
    let (erp, stranger) = (host(inbox.clone()).await, host(inbox.clone()).await);
    let named = erp.clone();
    let stage = Stage::with(|config| config.web.frame_ancestors = vec![named]).await;
    inbox.set(stage.home.clone()).unwrap();
    stage.log_in().await;
    let id = stage.send("REPLY-YESNO", "Shall we order cups?").await;

    stage.client.goto(&erp).await.unwrap();
    stage.find("iframe").await.enter_frame().await.unwrap();
    stage.path(&in_row("Shall we order cups?", "select")).await.select_by_value("Yes").await.unwrap();
    stage.screenshot("frame").await;
    stage.find("#post .bar .primary").await.click().await.unwrap();
    stage.becomes_acted(id).await;
    stage.client.enter_parent_frame().await.unwrap();
    assert_eq!(stage.text("h1").await, "Orders");

    stage.client.goto(&stranger).await.unwrap();
    stage.find("iframe").await.enter_frame().await.unwrap();
    assert_eq!(stage.many("#post, main").await, 0, "the browser shows nothing of it");
    stage.end().await;
}
