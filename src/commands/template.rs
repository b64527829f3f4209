//! Message templates.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{ArgGroup, Args, Subcommand};
use herald_jobs::authoring::{Preview, Sample};
use herald_jobs::message_template::MessageTemplate;
use herald_jobs::store::change::Expect;
use herald_jobs::store::message_templates;
use serde_json::Value;

use crate::commands::{ACTOR, connect};
use crate::config::Config;
use crate::wiring::Wiring;

/// Most failures shown.
const MOST: i64 = 1_000;

/// `herald template`
#[derive(Subcommand)]
pub enum Template {
    /// Lists the templates.
    List,
    /// Shows a template as a file.
    Show {
        /// Its code.
        code: String,
        /// An earlier version.
        #[arg(value_name = "VERSION")]
        number: Option<i32>,
    },
    /// Lists the versions of a template.
    History {
        /// Its code.
        code: String,
    },
    /// Checks templates against the models and functions there are.
    Check {
        /// Files, or codes of saved templates; without any, all saved ones.
        which: Vec<String>,
    },
    /// Shows what people would receive, on each channel.
    Preview(PreviewArgs),
    /// Saves templates from files, all or none. Each says in `version` which one it was made from; a new one says none. The versions that
    /// were saved are written into the files.
    Import {
        /// Files, or directories of .toml files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Writes templates into files, one each, to be changed and imported again.
    Export {
        /// Codes; without any, all.
        codes: Vec<String>,
        /// Where to.
        #[arg(long, default_value = ".")]
        dir: PathBuf,
    },
    /// Takes a template out of use. Its versions stay.
    Remove {
        /// Its code.
        code: String,
    },
    /// Lists the messages whose texts could not be made, with the reasons. They were delivered with their type's fallback text.
    Failures,
}

/// `herald template preview`
#[derive(Args)]
#[command(group = ArgGroup::new("sample").required(true))]
pub struct PreviewArgs {
    /// A code, or a file that need not be saved.
    which: String,
    /// The key of a record of its model; a list such as `["DE", 7]` for a key of several columns.
    #[arg(long, group = "sample")]
    model_key: Option<String>,
    /// A JSON file with the fields; `-` reads standard input.
    #[arg(long, group = "sample")]
    fields: Option<PathBuf>,
}

impl Template {
    /// Lists, shows, checks, previews or saves templates.
    ///
    /// # Errors
    /// There is no such template, or something in it cannot be; the error names the text, line and column.
    pub async fn run(self, config: Config) -> Result<()> {
        let wiring = connect(config)?;
        match self {
            Self::List => {
                for template in message_templates::all(&wiring.pool).await? {
                    let model = template.model.as_deref().unwrap_or("-");
                    println!("{}  version {}  {model}  {}", template.code, template.version, template.syntax);
                }
            }
            Self::Show { code, number } => {
                let found = match number {
                    Some(number) => message_templates::version(&wiring.pool, &code, number).await?,
                    None => message_templates::get(&wiring.pool, &code).await?,
                };
                let template = found.with_context(|| format!("there is no such template: {code}"))?;
                print!("{}", toml::to_string_pretty(&template)?);
            }
            Self::History { code } => {
                let versions = message_templates::versions(&wiring.pool, &code).await?;
                ensure!(!versions.is_empty(), "there is no template {code}");
                for saved in versions {
                    let at = saved.saved_at.format("%Y-%m-%d %H:%M:%S");
                    println!("{}  {at}  {}", saved.version, saved.saved_by);
                }
            }
            Self::Check { which } => check(&wiring, &which).await?,
            Self::Preview(arguments) => preview(&wiring, &arguments).await?,
            Self::Import { files } => {
                let (files, templates): (Vec<PathBuf>, Vec<MessageTemplate>) =
                    read_all(&files)?.into_iter().unzip();
                let versions = wiring.authoring()?.save(&templates, ACTOR).await?;
                for ((file, template), version) in files.iter().zip(&templates).zip(versions) {
                    let same = if version == template.version { ", unchanged" } else { "" };
                    println!("{}  version {version}{same}", template.code);
                    write_version(file, version)?;
                }
            }
            Self::Export { codes, dir } => export(&wiring, &codes, &dir).await?,
            Self::Remove { code } => {
                let removed =
                    message_templates::retire(&wiring.pool, &code, &Expect::Anything, ACTOR).await?;
                ensure!(removed, "there is no template {code}");
            }
            Self::Failures => {
                for failure in message_templates::failures(&wiring.pool, MOST).await? {
                    let at = failure.created_at.format("%Y-%m-%d %H:%M:%S");
                    let by = failure.template.as_deref().unwrap_or("its own texts");
                    let reason = failure.reason.replace(char::is_control, " ");
                    println!(
                        "{}  {at}  {by} {}  {reason}",
                        failure.message_id,
                        failure.version.map_or_else(String::new, |version| version.to_string())
                    );
                }
            }
        }
        Ok(())
    }
}

async fn check(wiring: &Wiring, which: &[String]) -> Result<()> {
    let templates = if which.is_empty() {
        message_templates::all(&wiring.pool).await?
    } else {
        let mut templates = Vec::new();
        for one in which {
            templates.push(find(wiring, one).await?);
        }
        templates
    };
    let environment = wiring.authoring()?.environment().await?;
    let mut wrong = 0;
    for template in &templates {
        match environment.check(template).await {
            Ok(()) => println!("{}  good", template.code),
            Err(error) => {
                wrong += 1;
                println!("{error}");
            }
        }
    }
    ensure!(wrong == 0, "{wrong} of {} cannot be used", templates.len());
    Ok(())
}

async fn preview(wiring: &Wiring, arguments: &PreviewArgs) -> Result<()> {
    let template = find(wiring, &arguments.which).await?;
    let sample = match (&arguments.model_key, &arguments.fields) {
        (Some(key), _) => Sample::Key(model_key(key)?),
        (None, Some(file)) => Sample::Instance(fields(file)?),
        (None, None) => bail!("give --model-key or --fields"),
    };
    let preview =
        wiring.authoring()?.environment().await?.preview(&template, sample, wiring.clock.now()).await?;
    show(&preview);
    Ok(())
}

fn show(preview: &Preview) {
    let subject = preview.subject.as_deref().unwrap_or("(the description of the message's type)");
    println!("== Inbox\nSubject: {subject}\n\n{}\n", preview.message_text);
    println!("== E-mail, plain text\nSubject: {subject}\n\n{}\n", preview.external_message);
    if let Some(html) = &preview.external_html {
        println!("== E-mail, HTML\n{html}\n");
    }
    let sms = preview.sms;
    println!(
        "== SMS: {} of {}, {} characters\n{}\n",
        sms.count, sms.encoding, sms.units, preview.external_message
    );
    println!("== Tokens");
    for token in &preview.tokens {
        println!("{}  {} = {}", token.text, token.token, token.value);
    }
}

async fn export(wiring: &Wiring, codes: &[String], dir: &Path) -> Result<()> {
    let all = message_templates::all(&wiring.pool).await?;
    if let Some(missing) = codes.iter().find(|code| !all.iter().any(|template| template.code == **code)) {
        bail!("there is no template {missing}");
    }
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    for template in all.iter().filter(|template| codes.is_empty() || codes.contains(&template.code)) {
        let file = dir.join(format!("{}.toml", template.code));
        fs::write(&file, toml::to_string_pretty(template)?).with_context(|| file.display().to_string())?;
        println!("{}", file.display());
    }
    Ok(())
}

/// A template by its file or its code.
async fn find(wiring: &Wiring, which: &str) -> Result<MessageTemplate> {
    let file = Path::new(which);
    if file.extension().is_some_and(|extension| extension == "toml") || file.is_file() {
        return read(file);
    }
    let found = message_templates::get(&wiring.pool, which).await?;
    found.with_context(|| format!("there is no template {which}, and no file of this name"))
}

/// The templates in files and directories, each code once.
fn read_all(files: &[PathBuf]) -> Result<Vec<(PathBuf, MessageTemplate)>> {
    let mut paths = Vec::new();
    for file in files {
        if file.is_dir() {
            let entries = fs::read_dir(file).with_context(|| file.display().to_string())?;
            let mut inside: Vec<PathBuf> =
                entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
            inside.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
            inside.sort();
            ensure!(!inside.is_empty(), "{}: there are no .toml files", file.display());
            paths.extend(inside);
        } else {
            paths.push(file.clone());
        }
    }
    let templates: Vec<MessageTemplate> = paths.iter().map(|path| read(path)).collect::<Result<_>>()?;
    let twice = templates
        .iter()
        .enumerate()
        .find(|(at, template)| templates[..*at].iter().any(|other| other.code == template.code));
    if let Some((_, template)) = twice {
        bail!("code: {} is there twice", template.code);
    }
    Ok(paths.into_iter().zip(templates).collect())
}

/// Writes which version a file is from now on; the rest of it stays as somebody wrote it.
fn write_version(file: &Path, version: i32) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let is_version = |line: &&str| line.split_once('=').is_some_and(|(name, _)| name.trim() == "version");
    // Before the first text: a line of a text may look the same.
    let head = text.find("\"\"\"").unwrap_or(text.len());
    let line = format!("version = {version}");
    let written = match text[..head].lines().find(is_version) {
        Some(earlier) => text.replacen(earlier, &line, 1),
        None => format!("{line}\n{text}"),
    };
    if written != text {
        fs::write(file, written).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

/// A template file: TOML with the fields of a template. Without a code, the file's name is the code.
fn read(file: &Path) -> Result<MessageTemplate> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut template: MessageTemplate = toml::from_str(&text).with_context(|| file.display().to_string())?;
    if template.code.is_empty() {
        template.code = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
    }
    Ok(template)
}

/// `42`, `PO-7`, or a JSON list.
pub(crate) fn model_key(text: &str) -> Result<Value> {
    if text.starts_with('[') {
        return serde_json::from_str(text).context("--model-key: is no JSON list");
    }
    Ok(Value::String(text.to_owned()))
}

/// A JSON object from a file, or from standard input for `-`.
pub(crate) fn fields(file: &Path) -> Result<serde_json::Map<String, Value>> {
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin()).context("--fields: read standard input")?
    } else {
        fs::read_to_string(file).with_context(|| format!("--fields: {}", file.display()))?
    };
    serde_json::from_str(&text).context("--fields: must be a JSON object")
}
