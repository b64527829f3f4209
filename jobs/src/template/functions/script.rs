//! The user's functions: Rhai, in a sandbox. A function gets values and makes one; it reads and writes nothing else.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage,
    BasicStringPackage, LogicPackage, MoreStringPackage, Package as _,
};
use rhai::{
    AST, Array, CallFnOptions, Dynamic, Engine, EvalAltResult, ImmutableString, Map, Module, ParseError,
    Position, Scope,
};
use serde_json::Value;

use super::Arguments;
use crate::template::MAX_BYTES;
use crate::template::budget::Budget;

/// Longest time that one call may take. A busy machine may need several times what a function needs.
pub(crate) const LONGEST_CALL: Duration = Duration::from_millis(100);
/// Most steps of one call, as Rhai counts them.
const MAX_OPERATIONS: u64 = 100_000;
/// Deepest calls of functions by functions.
const MAX_CALLS: usize = 16;
/// Deepest nesting of expressions and blocks. Each level of each call takes some stack.
const MAX_DEPTH: usize = 16;
/// Longest texts of one value together, in bytes.
const MAX_TEXT: usize = 64 * 1024;
/// Most elements of one list, or entries of one map, those of what lies in it counted.
const MAX_ITEMS: usize = 1_000;
/// Deepest nesting of what a function makes.
const MAX_NESTED: usize = 32;
/// Stack of a call, in bytes. Lists and maps together nest up to twice [`MAX_ITEMS`] deep while a function runs, and each
/// level takes about 1 KB to copy, to write or to drop.
const STACK: usize = 16 * 1024 * 1024;
/// Most variables of a function, and functions of a file.
const MAX_NAMES: usize = 100;
/// How much of a message an error repeats, in characters.
const LONGEST_PROBLEM: usize = 200;

/// One function of a file.
#[derive(Debug)]
pub(super) struct Script {
    file: Arc<AST>,
    name: String,
}

/// What a file tells of a function.
pub(super) struct Told {
    pub(super) script: Script,
    pub(super) name: String,
    pub(super) parameters: Vec<String>,
}

/// What scripts may call: no input or output, no clock, no waiting.
static PACKAGES: LazyLock<Vec<Arc<Module>>> = LazyLock::new(|| {
    vec![
        ArithmeticPackage::new().as_shared_module(),
        LogicPackage::new().as_shared_module(),
        BasicMathPackage::new().as_shared_module(),
        BasicStringPackage::new().as_shared_module(),
        MoreStringPackage::new().as_shared_module(),
        BasicIteratorPackage::new().as_shared_module(),
        BasicArrayPackage::new().as_shared_module(),
        BasicMapPackage::new().as_shared_module(),
    ]
});

/// The functions of a file, those marked `private` left out.
///
/// # Errors
/// The text is no Rhai, or exceeds the limits.
pub(super) fn compile(source: &str) -> Result<Vec<Told>, (usize, usize, String)> {
    let ast = engine(LONGEST_CALL).compile(source).map_err(|ParseError(problem, position)| {
        let (line, column) = place(position);
        (line, column, shorten(&problem.to_string()))
    })?;
    let file = Arc::new(ast.clone_functions_only());
    // The others are closures.
    let is_named = |name: &str| !name.contains('$');
    let public =
        file.iter_functions().filter(|function| function.access.is_public() && is_named(function.name));
    let told = public.map(|function| Told {
        script: Script { file: file.clone(), name: function.name.to_owned() },
        name: function.name.to_owned(),
        parameters: function.params.iter().map(ToString::to_string).collect(),
    });
    Ok(told.collect())
}

impl Script {
    /// # Errors
    /// The function fails, exceeds a limit, or makes what is no value.
    pub(super) fn run(&self, arguments: Arguments<'_, '_>, budget: &Budget) -> Result<Value, String> {
        let limit = LONGEST_CALL.min(budget.scripts());
        if limit.is_zero() {
            return Err("the functions of this text have taken all the time they may".to_owned());
        }
        let begun = Instant::now();
        let made = with_ample_stack(|| self.call(arguments, limit));
        budget.spend_on_scripts(begun.elapsed());
        made
    }

    fn call(&self, arguments: Arguments<'_, '_>, limit: Duration) -> Result<Value, String> {
        let arguments: Vec<Dynamic> = arguments
            .iter()
            .map(|argument| rhai::serde::to_dynamic(argument).map_err(|error| problem(&error, limit)))
            .collect::<Result<_, _>>()?;
        let options = CallFnOptions::new().eval_ast(false);
        let made: Dynamic = engine(limit)
            .call_fn_with_options(options, &mut Scope::new(), &self.file, &self.name, arguments)
            .map_err(|error| problem(&error, limit))?;
        measure(&made, 0, &mut 0)?;
        rhai::serde::from_dynamic(&made).map_err(|error| problem(&error, limit))
    }
}

/// Runs an engine, and drops what it made, where the deepest value has room: on a thread of its own.
///
/// # Errors
/// Those of `run`, or there is no thread.
pub(crate) fn with_ample_stack<T: Send>(run: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, run);
        let thread = thread.map_err(|error| format!("cannot be run: {error}"))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// An engine for one call: its clock begins to run with it.
pub(crate) fn engine(limit: Duration) -> Engine {
    let mut engine = Engine::new_raw();
    for package in PACKAGES.iter() {
        engine.register_global_module(package.clone());
    }
    // Rhai measures a text only when it is there, and does not measure what is assigned to an index.
    engine.register_fn("replace", replace);
    for name in ["to_string", "to_debug", "to_json", "print", "debug"] {
        engine.register_fn(name, written::<Array>).register_fn(name, written::<Map>);
    }
    engine
        .disable_symbol("eval")
        .disable_symbol("import")
        .on_print(|_| ())
        .on_debug(|_, _, _| ())
        .set_max_operations(MAX_OPERATIONS)
        .set_max_call_levels(MAX_CALLS)
        .set_max_expr_depths(MAX_DEPTH, MAX_DEPTH)
        .set_max_string_size(MAX_TEXT)
        .set_max_array_size(MAX_ITEMS)
        .set_max_map_size(MAX_ITEMS)
        .set_max_variables(MAX_NAMES)
        .set_max_functions(MAX_NAMES);
    let begun = Instant::now();
    engine.on_progress(move |_| (begun.elapsed() > limit).then_some(Dynamic::UNIT));
    engine
}

fn replace(text: &mut ImmutableString, from: &str, to: &str) -> Result<(), Box<EvalAltResult>> {
    let places = if to.len() > from.len() { text.matches(from).count() } else { 0 };
    if text.len().saturating_add(places.saturating_mul(to.len())) > MAX_TEXT {
        return Err(EvalAltResult::ErrorDataTooLarge("Length of string".into(), Position::NONE).into());
    }
    *text = text.as_str().replace(from, to).into();
    Ok(())
}

/// Lists and maps can hold one long text many times, and written out they would hold as many. Rhai writes by itself what this
/// refuses, so it does not refuse.
fn written<T: Clone + Into<Dynamic>>(value: &mut T) -> ImmutableString {
    let value: Dynamic = value.clone().into();
    if measure(&value, 0, &mut 0).is_ok() { value.to_string().into() } else { "…".into() }
}

/// # Errors
/// A value is no value of an instance, nests too deeply, or is too large.
fn measure(value: &Dynamic, depth: usize, size: &mut usize) -> Result<(), String> {
    *size += 1;
    if depth > MAX_NESTED {
        return Err("makes a value that nests too deeply".to_owned());
    }
    if let Ok(items) = value.as_array_ref() {
        items.iter().try_for_each(|item| measure(item, depth + 1, size))?;
    } else if let Ok(fields) = value.as_map_ref() {
        fields.values().try_for_each(|field| measure(field, depth + 1, size))?;
    } else if let Ok(text) = value.as_immutable_string_ref() {
        *size += text.len();
    } else if value.is_fnptr() || value.is_blob() {
        return Err(format!("makes a {}, which is no value", value.type_name()));
    }
    if *size > MAX_BYTES {
        return Err("makes more than 256 KB".to_owned());
    }
    Ok(())
}

fn problem(error: &EvalAltResult, limit: Duration) -> String {
    let problem = match error.unwrap_inner() {
        EvalAltResult::ErrorTerminated(..) => format!("takes longer than {} ms", limit.as_millis()),
        EvalAltResult::ErrorTooManyOperations(..) => format!("takes more than {MAX_OPERATIONS} steps"),
        EvalAltResult::ErrorStackOverflow(..) => format!("calls itself more than {MAX_CALLS} deep"),
        EvalAltResult::ErrorRuntime(thrown, _) => shorten(&written(&mut thrown.clone())),
        other => {
            let mut other = other.to_string();
            // The place is told by this.
            if let Some(at) = other.rfind(" (line ") {
                other.truncate(at);
            }
            shorten(&other)
        }
    };
    // What ends a function from outside has no place in it.
    let position = innermost(error);
    if position.is_none() {
        return problem;
    }
    let (line, column) = place(position);
    format!("{problem} (line {line}, column {column} of its file)")
}

/// Where it went wrong, rather than who called that.
fn innermost(error: &EvalAltResult) -> Position {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, position) => match innermost(inner) {
            inner if inner.is_none() => *position,
            inner => inner,
        },
        other => other.position(),
    }
}

fn place(position: Position) -> (usize, usize) {
    (position.line().unwrap_or(1), position.position().unwrap_or(1).max(1))
}

fn shorten(problem: &str) -> String {
    problem.chars().take(LONGEST_PROBLEM).collect()
}
