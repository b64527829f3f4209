use std::sync::Arc;

use serde_json::Value;

use super::{Arguments, Function};
use crate::template::MAX_BYTES;
use crate::template::values::text;

pub(super) fn functions() -> Vec<Arc<Function>> {
    vec![
        Function::std(
            "std.list.join",
            2..=2,
            ("x, between", "the elements of a list with this between them"),
            join,
        ),
        Function::std("std.list.count", 1..=1, ("x", "how many elements a list has"), |of| {
            Ok(items(&of[0]).len().into())
        }),
        Function::std("std.list.first", 1..=1, ("x", "the first element of a list"), |of| {
            Ok(items(&of[0]).first().copied().cloned().into())
        }),
    ]
}

/// What is not null in a list; anything else is a list of itself.
fn items(value: &Value) -> Vec<&Value> {
    let all = match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    all.iter().filter(|item| !item.is_null()).collect()
}

fn join(of: Arguments<'_, '_>) -> Result<Value, String> {
    let between = text(&of[1])?;
    let mut joined = String::new();
    for (position, item) in items(&of[0]).into_iter().enumerate() {
        if position > 0 {
            joined.push_str(&between);
        }
        joined.push_str(&text(item)?);
        if joined.len() > MAX_BYTES {
            return Err("the text grows longer than 256 KB".to_owned());
        }
    }
    Ok(joined.into())
}
