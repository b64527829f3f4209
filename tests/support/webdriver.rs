//! What the WebDriver client lacks: real keys, mouse and touch, and Chromium's own commands.

use fantoccini::Locator;
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use reqwest::Method;
use serde_json::{Value, json};

use super::browser::Browser;
use super::eventually;

pub(crate) const ENTER: &str = "\u{e007}";
pub(crate) const ESCAPE: &str = "\u{e00c}";
pub(crate) const TAB: &str = "\u{e004}";
const SHIFT: &str = "\u{e008}";

/// A command as the protocol has it.
#[derive(Debug)]
struct Raw {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Raw {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}

/// How a pointer is used.
#[derive(Clone, Copy)]
pub(crate) enum Pointer {
    Click,
    DoubleClick,
    ShiftClick,
    Tap,
}

impl Browser {
    async fn raw(&self, path: &'static str, body: Value) -> Result<Value, CmdError> {
        self.client.issue_cmd(Raw { path, body }).await
    }

    /// A command of the Chrome DevTools Protocol.
    pub(crate) async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.raw("goog/cdp/execute", json!({"cmd": command, "params": parameters})).await.unwrap()
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub(crate) async fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        self.raw("actions", json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]}))
            .await
            .unwrap();
    }

    /// Uses the pointer on what this selects.
    pub(crate) async fn point(&self, pointer: Pointer, selector: &str) {
        let element = self.find(selector).await;
        let touch = matches!(pointer, Pointer::Tap);
        // WebDriver scrolls nowhere by itself.
        self.run("arguments[0].scrollIntoView({block: 'center'})", vec![json!(element)]).await;
        let down = json!({"type": "pointerDown", "button": 0});
        let up = json!({"type": "pointerUp", "button": 0});
        let mut actions =
            vec![json!({"type": "pointerMove", "duration": 0, "origin": element, "x": 0, "y": 0})];
        for _ in 0..if matches!(pointer, Pointer::DoubleClick) { 2 } else { 1 } {
            actions.extend([down.clone(), up.clone()]);
        }
        let kind = json!({"pointerType": if touch { "touch" } else { "mouse" }});
        let mut sources = vec![json!({"type": "pointer", "id": if touch { "finger" } else { "mouse" },
                                      "parameters": kind, "actions": actions})];
        if matches!(pointer, Pointer::ShiftClick) {
            let pause = json!({"type": "pause"});
            let held =
                json!([{"type": "keyDown", "value": SHIFT}, pause, pause, {"type": "keyUp", "value": SHIFT}]);
            sources.push(json!({"type": "key", "id": "shift", "actions": held}));
        }
        self.raw("actions", json!({"actions": sources})).await.unwrap();
    }

    /// Runs a script in the page.
    pub(crate) async fn run(&self, script: &str, arguments: Vec<Value>) -> Value {
        self.client.execute(script, arguments).await.unwrap()
    }

    /// The element that this selects, once it is there. A page that goes meanwhile is waited for too, which WebDriver calls an error.
    pub(crate) async fn find(&self, selector: &str) -> Element {
        let mut found = None;
        eventually(selector, async || {
            found = self.client.find(Locator::Css(selector)).await.ok();
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// Clicks what leads to another page, and waits until this one is gone: WebDriver may answer before that.
    pub(crate) async fn leave_by(&self, selector: &str) {
        let page = self.find("html").await;
        self.find(selector).await.click().await.unwrap();
        eventually("another page", async || page.tag_name().await.is_err()).await;
    }

    /// How many elements this selects.
    pub(crate) async fn many(&self, selector: &str) -> usize {
        self.client.find_all(Locator::Css(selector)).await.unwrap().len()
    }

    /// A window of this size, as a phone or a wide screen has it.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// What the user prefers, as in `("prefers-color-scheme", "dark")`.
    pub(crate) async fn prefer(&self, feature: &str, value: &str) {
        let features = json!({"features": [{"name": feature, "value": value}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Cuts the network off, or lets it be again.
    pub(crate) async fn offline(&self, offline: bool) {
        self.network(offline, 0).await;
    }

    /// Lets each request wait for so many milliseconds, or cuts the network off.
    pub(crate) async fn network(&self, offline: bool, latency: u32) {
        self.devtools("Network.enable", json!({})).await;
        let conditions =
            json!({"offline": offline, "latency": latency, "downloadThroughput": -1, "uploadThroughput": -1});
        self.devtools("Network.emulateNetworkConditions", conditions).await;
    }

    /// The barriers that axe-core finds on the page: WCAG 2.2 AA, and what its authors hold to be good practice.
    pub(crate) async fn barriers(&self) -> Vec<String> {
        let file = herald::private::home().unwrap().join("pkg/axe/axe.min.js");
        let source = std::fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{}: {error}; run scripts/setup axe", file.display()));
        self.run(&format!("if (!window.axe) {{ {source} }}"), vec![]).await;
        let script = "const done = arguments[arguments.length - 1];
            axe.run(document, {resultTypes: ['violations']}).then(
              (found) => done(found.violations.map((it) => `${it.id}: ${it.nodes.map((node) => node.html + ' ' + node.failureSummary).join('; ')}`)),
              (error) => done([String(error)]))";
        serde_json::from_value(self.client.execute_async(script, vec![]).await.unwrap()).unwrap()
    }

    /// By how many pixels the page is wider than the window.
    pub(crate) async fn overflow(&self) -> i64 {
        let script = "return document.scrollingElement.scrollWidth - innerWidth";
        self.run(script, vec![]).await.as_i64().unwrap()
    }

    /// The path and the query of the page.
    pub(crate) async fn address(&self) -> String {
        let url = self.client.current_url().await.unwrap();
        url[url::Position::BeforePath..].to_owned()
    }

    /// The text of what this selects, shown or not; empty where it is not there.
    pub(crate) async fn text(&self, selector: &str) -> String {
        let script = "return document.querySelector(arguments[0])?.innerText ?? ''";
        self.run(script, vec![json!(selector)]).await.as_str().unwrap().to_owned()
    }
}
