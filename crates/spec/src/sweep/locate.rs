//! Where in the text a key stands.

use toml_edit::{Document, Item};

/// Line (from 1) of a key such as `model.shapes[1]`, or of the nearest table or list around it
/// that the text has.
pub(super) fn line_of(text: &str, key: &str) -> usize {
    let Ok(document) = Document::parse(text) else { return 1 };
    let mut offset = 0;
    let mut item = document.as_item();
    for part in key.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
        let Some((at, inner)) = step_into(item, part) else { break };
        offset = at.unwrap_or(offset);
        item = inner;
    }
    1 + text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count()
}

/// Whether the text has the table or list that the last part of a key stands in.
pub(super) fn has_table_of(text: &str, key: &str) -> bool {
    let Ok(document) = Document::parse(text) else { return false };
    let parts: Vec<_> = key.split(['.', '[', ']']).filter(|part| !part.is_empty()).collect();
    let mut item = document.as_item();
    for part in parts.iter().take(3) {
        let Some((_, inner)) = step_into(item, part) else { return false };
        item = inner;
    }
    true
}

/// The item below `item` that `part` names, and the byte where its key or value begins.
fn step_into<'a>(item: &'a Item, part: &str) -> Option<(Option<usize>, &'a Item)> {
    if let Ok(position) = part.parse::<usize>()
        && let Some(inner) = item.get(position)
    {
        return Some((inner.span().map(|span| span.start), inner));
    }
    let (key, inner) = item.as_table_like()?.get_key_value(part)?;
    let start = key.span().or_else(|| inner.span()).map(|span| span.start);
    Some((start, inner))
}
