//! Files that an e-mail carries: bytes that came with the send, or a file below a directory that operators allow.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lettre::message::header::ContentType;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt as _;
use uuid::Uuid;

use crate::refusal::Refusal;

/// Most files of one message.
pub const MAX_ATTACHMENTS: usize = 20;
/// Longest name, longest content type and longest path, in characters.
const MAX_LENGTHS: (usize, usize, usize) = (200, 200, 1_000);
/// What a file is where its name does not tell.
const UNKNOWN: &str = "application/octet-stream";

/// A file as a producer hands it over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAttachment {
    /// What the recipient sees and saves it as, with its extension.
    pub name: String,
    /// Its MIME type; absent: what the extension tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The file itself in base64 (RFC 4648, section 4). Either this or `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Where it is, below the directory that operators allow; read when the mail is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// A file in valid form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// What it is called.
    pub name: String,
    /// Its MIME type.
    pub content_type: String,
    /// What it holds.
    pub source: Source,
}

/// Where the bytes of a file come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// They are here.
    Bytes(Vec<u8>),
    /// They are read when the mail is made.
    File(String),
    /// They are kept as an output, for as long as it is.
    Output(Uuid),
}

/// What may be attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files of one mail together.
    pub total: u64,
    /// The directory below which files may be named; `None`: none may.
    pub root: Option<PathBuf>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: 5 * 1024 * 1024, root: None }
    }
}

impl NewAttachment {
    /// The file in valid form.
    ///
    /// # Errors
    /// Names the field that cannot be accepted.
    pub fn parse(&self) -> Result<Attachment, Refusal> {
        let refuse = |field: &str, problem: &str| Err(Refusal::new(field, problem));
        let (longest_name, longest_type, longest_path) = MAX_LENGTHS;
        let name = self.name.trim();
        // Some programs save a file under whatever path its name tells.
        if name.is_empty()
            || name.chars().count() > longest_name
            || name.contains(|c: char| c.is_control() || matches!(c, '/' | '\\'))
            || matches!(name, "." | "..")
        {
            let problem = format!(
                "must be a file's name of 1 to {longest_name} characters, without slashes and control characters"
            );
            return refuse("name", &problem);
        }
        let content_type = match self.content_type.as_deref().map(str::trim) {
            None => by_extension(name),
            Some(text) if text.chars().count() > longest_type || !is_content_type(text) => {
                return refuse("content_type", "must be a MIME type such as application/pdf");
            }
            Some(text) => text,
        };
        let source = match (&self.content, &self.path) {
            (Some(content), None) => match BASE64_STANDARD.decode(content) {
                Ok(bytes) => Source::Bytes(bytes),
                Err(error) => return refuse("content", &format!("must be base64: {error}")),
            },
            (None, Some(path))
                if path.is_empty() || path.chars().count() > longest_path || path.contains('\0') =>
            {
                return refuse("path", "must be the path of a file");
            }
            (None, Some(path)) => Source::File(path.clone()),
            (None, None) => return refuse("content", "or a path is needed"),
            (Some(_), Some(_)) => return refuse("path", "cannot be together with content"),
        };
        Ok(Attachment { name: name.to_owned(), content_type: content_type.to_owned(), source })
    }
}

impl Limits {
    /// Whether so many bytes may be attached.
    pub fn allows(&self, bytes: usize) -> bool {
        u64::try_from(bytes).is_ok_and(|bytes| bytes <= self.total)
    }

    /// Whether all of these files may be attached, and are there. Files are looked at, not read.
    ///
    /// # Errors
    /// Names the file by its position, or all of them where they are too large together.
    pub async fn check(&self, attachments: &[Attachment]) -> Result<(), Refusal> {
        let mut total: u64 = 0;
        for (position, attachment) in attachments.iter().enumerate() {
            total += match &attachment.source {
                Source::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                Source::File(path) => {
                    let found = self.find(path).await;
                    found.map_err(|why| Refusal::new(format!("attachments/{position}/path"), why))?.1
                }
                // Whoever keeps it knows its size.
                Source::Output(_) => 0,
            };
        }
        if total > self.total {
            let problem = format!("have {total} bytes together, and at most {} may be attached", self.total);
            return Err(Refusal::new("attachments", problem));
        }
        Ok(())
    }

    /// The bytes of a file, which may have changed since it was looked at.
    ///
    /// # Errors
    /// Says why it cannot be attached.
    pub async fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        let (place, _) = self.find(path).await?;
        let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
        let file = tokio::fs::File::open(&place).await.map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(self.total + 1).read_to_end(&mut bytes).await.map_err(unreadable)?;
        if self.allows(bytes.len()) { Ok(bytes) } else { Err(format!("is larger than {} bytes", self.total)) }
    }

    /// Where a file really is, and its size in bytes. What leads out of the directory is not told from what is not there.
    async fn find(&self, path: &str) -> Result<(PathBuf, u64), String> {
        let root = self.root.as_ref().ok_or("cannot be used: email.attachment_root is not set")?;
        let root = tokio::fs::canonicalize(root)
            .await
            .map_err(|error| format!("cannot be used: email.attachment_root: {error}"))?;
        let missing = || "is no file below the directory for attachments".to_owned();
        let place = tokio::fs::canonicalize(root.join(Path::new(path))).await.map_err(|_| missing())?;
        if !place.starts_with(&root) {
            return Err(missing());
        }
        let metadata = tokio::fs::metadata(&place).await.map_err(|_| missing())?;
        if metadata.is_file() { Ok((place, metadata.len())) } else { Err(missing()) }
    }
}

/// Those of several parts cannot be kept in base64 (RFC 2046, sections 5.1 and 5.2).
fn is_content_type(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_composite = lower.starts_with("multipart/") || lower.starts_with("message/");
    !is_composite && !text.contains(char::is_control) && text.is_ascii() && ContentType::parse(text).is_ok()
}

fn by_extension(name: &str) -> &'static str {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    match extension.as_str() {
        "csv" => "text/csv",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "gif" => "image/gif",
        "htm" | "html" => "text/html",
        "ics" => "text/calendar",
        "jpeg" | "jpg" => "image/jpeg",
        "json" => "application/json",
        "ods" => "application/vnd.oasis.opendocument.spreadsheet",
        "odt" => "application/vnd.oasis.opendocument.text",
        "pdf" => "application/pdf",
        "png" => "image/png",
        "txt" => "text/plain",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "xml" => "application/xml",
        "zip" => "application/zip",
        _ => UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(name: &str, content_type: Option<&str>) -> NewAttachment {
        NewAttachment {
            name: name.into(),
            content_type: content_type.map(Into::into),
            content: Some("eA==".into()),
            path: None,
        }
    }

    #[test]
    fn each_refusal_names_its_field() {
        for name in ["", " ", ".", "..", "a/b", "a\\b", "a\r\nX: y", "a\0b", &"x".repeat(201)] {
            assert_eq!(new(name, None).parse().unwrap_err().field, "name", "{name:?}");
        }
        for kind in [
            "",
            "pdf",
            "a/b\r\nX: y",
            "multipart/mixed",
            "Message/RFC822",
            "text/ü",
            "a/b c",
            &"x/y".repeat(90),
        ] {
            assert_eq!(new("a", Some(kind)).parse().unwrap_err().field, "content_type", "{kind:?}");
        }
        let with = |content: Option<&str>, path: Option<&str>| {
            let new = NewAttachment {
                content: content.map(Into::into),
                path: path.map(Into::into),
                ..new("a", None)
            };
            new.parse().map_err(|refusal| refusal.field)
        };
        assert_eq!(with(None, None), Err("content".into()));
        assert_eq!(with(Some("not base64"), None), Err("content".into()));
        assert_eq!(with(Some("eA=="), Some("a")), Err("path".into()));
        assert_eq!(with(None, Some("")), Err("path".into()));
        assert_eq!(with(None, Some("a\0b")), Err("path".into()));
        assert!(with(Some(""), None).is_ok(), "an empty file");
    }

    #[test]
    fn the_extension_tells_the_type_where_nobody_says() {
        for (name, said, expected) in [
            ("Übersicht.PDF", None, "application/pdf"),
            ("README", None, UNKNOWN),
            ("a.b.csv", None, "text/csv"),
            ("a.pdf", Some("text/plain; charset=utf-8"), "text/plain; charset=utf-8"),
        ] {
            assert_eq!(new(name, said).parse().unwrap().content_type, expected, "{name}");
        }
    }

    #[tokio::test]
    async fn nothing_outside_the_directory_is_reached() {
        let dir = tempfile::TempDir::new().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("secret.txt"));
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(&outside, "secret").unwrap();
        std::fs::write(root.join("sub/report.txt"), "report").unwrap();
        std::os::unix::fs::symlink(&outside, root.join("out")).unwrap();
        std::os::unix::fs::symlink(dir.path(), root.join("up")).unwrap();
        std::os::unix::fs::symlink(root.join("sub/report.txt"), root.join("within")).unwrap();
        let limits = Limits { total: 6, root: Some(root.clone()) };
        let absolute = root.join("sub/report.txt");
        for path in ["sub/report.txt", "./sub/../within", absolute.to_str().unwrap()] {
            assert_eq!(limits.read(path).await.as_deref(), Ok(&b"report"[..]), "{path}");
        }
        let secret = outside.to_str().unwrap();
        for path in
            ["../secret.txt", "out", "up/secret.txt", secret, "sub", "gone", "/etc/passwd", "/dev/zero"]
        {
            let refused = limits.read(path).await.unwrap_err();
            assert!(refused.contains("no file below"), "{path}: {refused}");
        }
        let small = Limits { total: 5, ..limits.clone() };
        assert!(small.read("within").await.unwrap_err().contains("larger than 5"));
        let file = Attachment {
            name: "a".into(),
            content_type: UNKNOWN.into(),
            source: Source::File("within".into()),
        };
        assert!(limits.check(std::slice::from_ref(&file)).await.is_ok());
        assert_eq!(limits.check(&[file.clone(), file.clone()]).await.unwrap_err().field, "attachments");
        let off = Limits::default().check(&[file]).await.unwrap_err();
        assert!(off.field == "attachments/0/path" && off.problem.contains("attachment_root"), "{off}");
    }
}
