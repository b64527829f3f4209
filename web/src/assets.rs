//! The stylesheet, the script and the icon: part of the program, under addresses that change with their content, so that
//! browsers keep them for good.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use crate::error::PageError;

const STYLE: &str = concat!(
    include_str!("../assets/css/1-tokens.css"),
    include_str!("../assets/css/2-controls.css"),
    include_str!("../assets/css/3-shell.css"),
    include_str!("../assets/css/4-lists.css"),
);

/// What the pages of the administration have beside that.
const ADMIN_STYLE: &str =
    concat!(include_str!("../assets/css/5-authoring.css"), include_str!("../assets/css/6-operations.css"));

/// Each part stands by itself; they tell one another by events of the document.
const SCRIPT: &str = concat!(
    "\"use strict\";\n",
    include_str!("../assets/js/counts.js"),
    include_str!("../assets/js/notices.js"),
    include_str!("../assets/js/swap.js"),
    include_str!("../assets/js/pane.js"),
    include_str!("../assets/js/list.js"),
    include_str!("../assets/js/keys.js"),
    include_str!("../assets/js/live.js"),
    include_str!("../assets/js/files.js"),
);

/// One file.
pub(crate) struct Asset {
    name: String,
    kind: &'static str,
    content: &'static [u8],
}

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, content: &'static [u8]) -> Self {
        let hash: String = Sha256::digest(content).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Self { name: format!("{stem}.{hash}.{extension}"), kind, content }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("/assets/{}", self.name)
    }
}

/// All files.
pub(crate) struct Assets {
    pub(crate) style: Asset,
    pub(crate) admin_style: Asset,
    pub(crate) script: Asset,
    pub(crate) api_script: Asset,
    /// Tries forms while they are typed.
    pub(crate) trying: Asset,
    pub(crate) icon: Asset,
}

/// All files.
pub(crate) fn all() -> &'static Assets {
    static ALL: LazyLock<Assets> = LazyLock::new(|| Assets {
        style: Asset::new("herald", "css", "text/css; charset=utf-8", STYLE.as_bytes()),
        admin_style: Asset::new("admin", "css", "text/css; charset=utf-8", ADMIN_STYLE.as_bytes()),
        script: Asset::new("herald", "js", "text/javascript; charset=utf-8", SCRIPT.as_bytes()),
        api_script: Asset::new(
            "api",
            "js",
            "text/javascript; charset=utf-8",
            include_bytes!("../assets/js/api.js"),
        ),
        trying: Asset::new(
            "trying",
            "js",
            "text/javascript; charset=utf-8",
            include_bytes!("../assets/js/trying.js"),
        ),
        icon: Asset::new("icon", "svg", "image/svg+xml", include_bytes!("../assets/icon.svg")),
    });
    &ALL
}

/// Answers a file.
pub(crate) async fn get(Path(name): Path<String>) -> Result<Response, PageError> {
    let Assets { style, admin_style, script, api_script, trying, icon } = all();
    let asset = [style, admin_style, script, api_script, trying, icon]
        .into_iter()
        .find(|asset| asset.name == name)
        .ok_or(PageError::NotFound)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(asset.kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    Ok((headers, asset.content).into_response())
}
