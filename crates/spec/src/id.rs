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
    let value = serde_json::to_value(value).expect("specs are plain data with string keys");
    let mut out = String::new();
    write_canonical(&value, &mut out);
    out
}

fn write_canonical(value: &serde_json::Value, out: &mut String) {
    match value {
        serde_json::Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort_unstable();
            write_list(out, ('{', '}'), keys, |key, out| {
                out.push_str(&serde_json::Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(&map[key], out);
            });
        }
        serde_json::Value::Array(items) => write_list(out, ('[', ']'), items, write_canonical),
        scalar => out.push_str(&scalar.to_string()),
    }
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

    #[test]
    fn an_id_survives_text_and_a_bad_one_is_refused() {
        let id = Id::of(&"x");
        assert_eq!(id.to_string().parse::<Id>().unwrap(), id);
        assert!("12".parse::<Id>().is_err());
        assert!("z".repeat(32).parse::<Id>().is_err());
    }
}
