//! Where in the text a key stands.

use toml_edit::{Document, Item};

/// Line (from 1) of a key such as `model.shapes[1]`, or of the nearest table or list around it
/// that the text has.
pub(super) fn line_of(text: &str, key: &str) -> usize {
    let Ok(document) = Document::parse(text) else { return 1 };
    let offset = steps(document.as_item(), key).into_iter().flatten().last().unwrap_or(0);
    1 + text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count()
}

/// Of how many of its parts, from the first, the text has a key: [`length`] where it has the key.
pub(super) fn depth(text: &str, key: &str) -> usize {
    Document::parse(text).map_or(0, |document| steps(document.as_item(), key).len())
}

/// Names and positions that a key is made of.
pub(super) fn length(key: &str) -> usize {
    parts(key).count()
}

fn parts(key: &str) -> impl Iterator<Item = &str> {
    key.split(['.', '[', ']']).filter(|part| !part.is_empty())
}

/// The bytes where the parts of a key that there are begin.
fn steps(root: &Item, key: &str) -> Vec<Option<usize>> {
    let mut item = root;
    let mut starts = Vec::new();
    for part in parts(key) {
        let Some((at, inner)) = step_into(item, part) else { break };
        starts.push(at);
        item = inner;
    }
    starts
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
