//! Finds the files of the user's functions, and reads them.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Function, FunctionsError, Run, script};

/// What the name of such a file ends with.
const EXTENSION: &str = "rhai";
/// Deepest directory of a package.
const MAX_DEPTH: usize = 8;
/// Most files.
const MAX_FILES: usize = 1_000;
/// Largest file, in bytes.
const MAX_FILE: u64 = 64 * 1024;
/// The package that is there already.
const STD: &str = "std";

/// A file as it was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    /// Below the directory of the functions.
    path: PathBuf,
    size: u64,
    changed: Option<SystemTime>,
}

impl Seen {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// All files of functions below `dir`, by name. A directory that is not there has none.
///
/// # Errors
/// A directory cannot be read, or holds too much.
pub(super) fn list(dir: &Path) -> Result<Vec<Seen>, FunctionsError> {
    let mut found = Vec::new();
    if dir.exists() {
        list_below(dir, Path::new(""), 0, &mut found)?;
    }
    found.sort_unstable();
    Ok(found)
}

fn list_below(dir: &Path, below: &Path, depth: usize, found: &mut Vec<Seen>) -> Result<(), FunctionsError> {
    let here = dir.join(below);
    let unreadable = |error: std::io::Error| refuse(&here, error.to_string());
    if depth > MAX_DEPTH {
        return Err(refuse(&here, format!("packages are at most {MAX_DEPTH} directories deep")));
    }
    for entry in fs::read_dir(&here).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        // What editors and mounts keep beside the files.
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = below.join(entry.file_name());
        // What a link leads to.
        let about = fs::metadata(entry.path()).map_err(unreadable)?;
        if about.is_dir() {
            list_below(dir, &path, depth + 1, found)?;
        } else if path.extension().is_some_and(|extension| extension == EXTENSION) {
            found.push(Seen { path, size: about.len(), changed: about.modified().ok() });
        }
        if found.len() > MAX_FILES {
            return Err(refuse(dir, format!("there are more than {MAX_FILES} files")));
        }
    }
    Ok(())
}

/// The functions of one file.
///
/// # Errors
/// The file cannot be read or is malformed, or a name does not fit.
pub(super) fn file(dir: &Path, seen: &Seen) -> Result<Vec<Function>, FunctionsError> {
    let path = dir.join(&seen.path);
    let names = names(&path, &seen.path)?;
    if seen.size > MAX_FILE {
        return Err(refuse(&path, format!("a file has at most {} KB", MAX_FILE / 1024)));
    }
    let source = fs::read_to_string(&path).map_err(|error| refuse(&path, error.to_string()))?;
    let told = script::compile(&source).map_err(|(line, column, problem)| FunctionsError {
        file: path.clone(),
        line,
        column,
        problem,
    })?;
    let mut functions: Vec<Function> = Vec::with_capacity(told.len());
    for told in told {
        if !is_name(&told.name) {
            return Err(refuse(&path, unfit(&told.name)));
        }
        let name = format!("{names}.{}", told.name);
        if functions.iter().any(|other| other.name == name) {
            let problem = format!("`{}` is there twice; a function has one list of parameters", told.name);
            return Err(refuse(&path, problem));
        }
        functions.push(Function {
            name: Cow::Owned(name),
            takes: told.parameters.len()..=told.parameters.len(),
            parameters: Cow::Owned(told.parameters.join(", ")),
            makes: "",
            run: Run::Script(told.script),
        });
    }
    Ok(functions)
}

/// `package.module` of the file at `below`.
fn names(path: &Path, below: &Path) -> Result<String, FunctionsError> {
    let without_extension = below.with_extension("");
    let names: Vec<Cow<'_, str>> = without_extension.iter().map(|name| name.to_string_lossy()).collect();
    if let Some(wrong) = names.iter().find(|name| !is_name(name)) {
        return Err(refuse(path, unfit(wrong)));
    }
    match names.split_first() {
        Some((first, _)) if first == STD => {
            Err(refuse(path, format!("the package `{STD}` is Herald's own: take another name")))
        }
        Some((_, [_, ..])) => Ok(names.join(".")),
        _ => Err(refuse(path, "a module stands in the directory of its package".to_owned())),
    }
}

/// Whether a call could name it.
fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_part) && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

fn unfit(name: &str) -> String {
    format!("`{name:.80}` is no name: these are letters, digits and `_`, and do not begin with a digit")
}

fn refuse(path: &Path, problem: String) -> FunctionsError {
    FunctionsError { file: path.to_owned(), line: 1, column: 1, problem }
}
