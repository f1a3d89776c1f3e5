//! Variants: the same sweep with some of its settings replaced, to be compared in one figure.

use toml_edit::{ArrayOfTables, DocumentMut, Item, TableLike};

/// One variant's name and the text of its sweep file; a file without variants is one without a name.
pub(super) struct Variant {
    pub name: Option<String>,
    pub text: String,
}

/// Every variant of a sweep file, or the problem with the one at the position given.
pub(super) fn all(text: &str) -> Result<Vec<Variant>, (usize, String)> {
    let plain = || vec![Variant { name: None, text: text.to_owned() }];
    // Text that is no TOML is left for the parser, whose message is better.
    let Ok(mut base) = text.parse::<DocumentMut>() else { return Ok(plain()) };
    match base.remove("variant") {
        None => Ok(plain()),
        Some(Item::ArrayOfTables(variants)) => each(&base, &variants),
        Some(_) => Err((0, "variants are written as [[variant]] tables".to_owned())),
    }
}

fn each(base: &DocumentMut, variants: &ArrayOfTables) -> Result<Vec<Variant>, (usize, String)> {
    let mut all: Vec<Variant> = Vec::with_capacity(variants.len());
    for (position, variant) in variants.iter().enumerate() {
        let problem = |message: String| (position, message);
        let mut variant = variant.clone();
        let name = variant.remove("name");
        let name = name.as_ref().and_then(Item::as_str).unwrap_or_default().to_owned();
        if name.is_empty() {
            return Err(problem("a variant needs a name".to_owned()));
        }
        if all.iter().any(|other| other.name.as_ref() == Some(&name)) {
            return Err(problem(format!("two variants are called `{name}`")));
        }
        let mut merged = base.clone();
        merge(merged.as_table_mut(), &variant);
        all.push(Variant { name: Some(name), text: merged.to_string() });
    }
    Ok(all)
}

/// Puts the variant's values over the base's; tables are merged key by key, all else is replaced.
fn merge(base: &mut dyn TableLike, variant: &dyn TableLike) {
    for (key, item) in variant.iter() {
        let below = base.get_mut(key).and_then(Item::as_table_like_mut);
        match (below, item.as_table_like()) {
            (Some(below), Some(item)) => merge(below, item),
            _ => {
                base.insert(key, detached(item));
            }
        }
    }
}

/// A table keeps its place in the text it was read from; without one it is written where it is put.
fn detached(item: &Item) -> Item {
    match item {
        Item::Table(table) => {
            let mut table = table.clone();
            table.set_position(None);
            for (_, inner) in table.iter_mut() {
                *inner = detached(inner);
            }
            Item::Table(table)
        }
        other => other.clone(),
    }
}
