//! `--set key=value`: edits the sweep file's text, so that what is stored is one plain file.

use toml_edit::{DocumentMut, Item, Value};

use super::SpecError;

/// `text` with every assignment carried out, in order. A value that is not TOML is a string.
pub(super) fn apply(text: &str, assignments: &[String]) -> Result<String, SpecError> {
    // Text that is no TOML is left for the parser, whose message is better.
    let Ok(mut document) = text.parse::<DocumentMut>() else { return Ok(text.to_owned()) };
    for assignment in assignments {
        let error = |message: &str| SpecError::Override {
            assignment: assignment.clone(),
            message: message.to_owned(),
        };
        let (key, value) = assignment
            .split_once('=')
            .ok_or_else(|| error("expected key=value, as in train.batch=64"))?;
        let value = value.trim();
        let value: Value = value.parse().unwrap_or_else(|_| Value::from(value));
        assign(document.as_item_mut(), key.trim(), value).map_err(error)?;
    }
    Ok(document.to_string())
}

fn assign(mut item: &mut Item, key: &str, value: Value) -> Result<(), &'static str> {
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        if part.is_empty() {
            return Err("the key has an empty part");
        }
        let table = item.as_table_like_mut().ok_or("the key reaches into a value")?;
        if parts.peek().is_none() {
            let entry = table.entry(part).or_insert(Item::None);
            *entry = Item::Value(value);
            return Ok(());
        }
        item = table.entry(part).or_insert_with(toml_edit::table);
    }
    Err("the key is empty")
}
