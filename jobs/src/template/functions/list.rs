use serde_json::Value;

use super::Function;
use crate::template::values::text;

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "std.list.join", takes: 2..=2, run: join },
    Function { name: "std.list.count", takes: 1..=1, run: |of| Ok(items(&of[0]).len().into()) },
    Function {
        name: "std.list.first",
        takes: 1..=1,
        run: |of| Ok(items(&of[0]).first().copied().cloned().into()),
    },
];

/// What is not null in a list; anything else is a list of itself.
fn items(value: &Value) -> Vec<&Value> {
    let all = match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    all.iter().filter(|item| !item.is_null()).collect()
}

fn join(of: &[Value]) -> Result<Value, String> {
    let texts = items(&of[0]).into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    Ok(texts.join(text(&of[1])?.as_ref()).into())
}
