//! Objects within objects as one list of dotted names, for tools whose settings have no depth.

use serde_json::{Map, Value};

/// Every leaf under its path: `{"a": {"b": 1}}` is `a.b = 1`. Lists stay whole, what is null is left out.
pub fn flat(settings: &Map<String, Value>) -> Vec<(String, &Value)> {
    settings.iter().flat_map(|(key, value)| below(key, value)).collect()
}

fn below<'a>(path: &str, value: &'a Value) -> Vec<(String, &'a Value)> {
    match value {
        Value::Null => Vec::new(),
        Value::Object(map) => {
            map.iter().flat_map(|(key, value)| below(&format!("{path}.{key}"), value)).collect()
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            vec![(path.to_owned(), value)]
        }
    }
}

/// A value as text: a string without its quotes.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn leaves_are_named_by_their_paths() {
        let settings = json!({"a": {"b": 1, "none": null, "c": {"d": "x"}}, "list": [1, {"e": 2}]});
        let Value::Object(settings) = settings else { panic!() };
        let found: Vec<_> = flat(&settings)
            .into_iter()
            .map(|(name, value)| format!("{name}={}", text(value)))
            .collect();
        assert_eq!(found, ["a.b=1", "a.c.d=x", r#"list=[1,{"e":2}]"#]);
    }
}
