//! Content ids: blake3 over canonical JSON. Two specs are the same trial exactly when they have the
//! same id, in whatever sweep, machine or order of keys they were written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The first 128 bits of a blake3 hash, written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id([u8; 16]);

/// Text that is no id.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an id: 32 hexadecimal digits are expected")]
pub struct IdError(String);

impl Id {
    /// Hash of the canonical JSON of `value`.
    pub fn of(value: &impl Serialize) -> Self {
        Self::of_canonical(&canonical_json(value))
    }

    /// Hash of text that [`canonical_json`] wrote, for who needs the text as well.
    pub fn of_canonical(json: &str) -> Self {
        let hash = blake3::hash(json.as_bytes());
        let mut first = [0; 16];
        first.copy_from_slice(&hash.as_bytes()[..16]);
        Self(first)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Id {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = || IdError(text.to_owned());
        if text.len() != 32 || !text.is_ascii() {
            return Err(error());
        }
        let mut bytes = [0; 16];
        for (byte, at) in bytes.iter_mut().zip((0..32).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| error())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Id);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse().map(Self)
            }
        }
    };
}

id_type! {
    /// Id of a trial: the hash of its spec.
    TrialId
}
id_type! {
    /// Id of a segment: the hash of its spec, which names its parent.
    SegmentId
}

/// JSON with sorted keys, no spaces and shortest round-trip numbers, whatever order the type or the
/// JSON library keeps its fields in.
pub fn canonical_json(value: &impl Serialize) -> String {
    let text = serde_json::to_string(value).expect("specs are plain data with string keys");
    let mut out = String::with_capacity(text.len());
    write_sorted(&text, &mut out);
    out
}

/// Copies JSON without spaces, the members of its objects sorted. On the text itself: a plan of many
/// trials hashes it several times for each, and a tree of values would take most of that time.
fn write_sorted(text: &str, out: &mut String) {
    let inside = || &text[1..text.len() - 1];
    match text.as_bytes().first() {
        Some(b'{') => {
            let member = |member| split(member, b':');
            let mut members: Vec<_> = elements(inside()).map(member).collect();
            members.sort_unstable_by_key(|(key, _)| &key[1..key.len() - 1]);
            write_list(out, ('{', '}'), members, |(key, value), out| {
                out.push_str(key);
                out.push(':');
                write_sorted(value, out);
            });
        }
        Some(b'[') => write_list(out, ('[', ']'), elements(inside()), write_sorted),
        Some(_) | None => out.push_str(text),
    }
}

/// What commas separate.
fn elements(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let element;
        (element, rest) = split(rest, b',');
        (!element.is_empty()).then_some(element)
    })
}

/// What comes before and after the first separator that is in no string, list or object of its own.
fn split(text: &str, separator: u8) -> (&str, &str) {
    let (mut depth, mut in_string, mut is_escaped) = (0_u32, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ if byte == separator && depth == 0 => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, "")
}

fn write_list<T>(
    out: &mut String,
    (open, close): (char, char),
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(T, &mut String),
) {
    out.push(open);
    for (position, item) in items.into_iter().enumerate() {
        if position > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn key_order_does_not_change_the_id() {
        let a: serde_json::Value =
            serde_json::from_str(r#"{"b": [1, 2.5], "a": {"y": null, "x": "t"}}"#).unwrap();
        let b: serde_json::Value =
            serde_json::from_str(r#"{"a": {"x": "t", "y": null}, "b": [1, 2.5]}"#).unwrap();
        assert_eq!(canonical_json(&a), r#"{"a":{"x":"t","y":null},"b":[1,2.5]}"#);
        assert_eq!(Id::of(&a), Id::of(&b));
    }

    /// Sorted by a tree of values, in which keys have lost their quotes and escapes.
    fn sorted_by_tree(value: &serde_json::Value) -> String {
        match value {
            serde_json::Value::Object(map) => {
                let sorted: std::collections::BTreeMap<_, _> = map.iter().collect();
                let member = |(key, value): (&&String, &&serde_json::Value)| {
                    format!("{}:{}", serde_json::json!(key), sorted_by_tree(value))
                };
                format!("{{{}}}", sorted.iter().map(member).collect::<Vec<_>>().join(","))
            }
            serde_json::Value::Array(items) => {
                format!("[{}]", items.iter().map(sorted_by_tree).collect::<Vec<_>>().join(","))
            }
            scalar => scalar.to_string(),
        }
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            r#"[a-c{}\[\],:"\\\n ]{0,6}"#.prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            let list = proptest::collection::vec(inner.clone(), 0..5);
            // Keys as specs have them: nothing to escape.
            let map = proptest::collection::vec(("[a-c_ .0-9]{0,4}", inner), 0..5);
            prop_oneof![
                list.prop_map(Into::into),
                map.prop_map(|members| members
                    .into_iter()
                    .collect::<serde_json::Map<_, _>>()
                    .into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn keys_are_sorted_wherever_they_are_and_nothing_else_changes(value in any_json()) {
            prop_assert_eq!(canonical_json(&value), sorted_by_tree(&value));
        }
    }

    #[test]
    fn an_id_survives_text_and_a_bad_one_is_refused() {
        let id = Id::of(&"x");
        assert_eq!(id.to_string().parse::<Id>().unwrap(), id);
        assert!("12".parse::<Id>().is_err());
        assert!("z".repeat(32).parse::<Id>().is_err());
    }
}
