//! A sweep for this crate's tests.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{Curve, Point, State, Sweep, Trial};

pub fn trial(name: &str, state: State) -> Trial {
    let point = |(step, value)| Point { step, at: 1000.0 + step as f64, value };
    let curve = |metric: &str, points: &[(u64, f64)]| Curve {
        metric: metric.into(),
        points: points.iter().copied().map(point).collect(),
    };
    let Value::Object(settings) =
        json!({"shape": "8x1", "params": 10, "learning_rate": 0.001, "recipe": {"batch": 8}})
    else {
        panic!("an object is one")
    };
    Trial {
        id: "00112233445566778899aabbccddeeff".into(),
        key: "ffeeddccbbaa99887766554433221100".into(),
        name: name.into(),
        variant: None,
        state,
        started_at: 1000.0,
        ended_at: Some(1200.5),
        settings,
        outcomes: BTreeMap::from([("val_loss".into(), 0.5), ("val_error".into(), 0.25)]),
        curves: vec![
            curve("train_loss", &[(50, 0.75), (100, f64::NAN)]),
            curve("val_loss", &[(100, 0.5)]),
        ],
    }
}

pub fn sweep(trials: Vec<Trial>) -> Sweep {
    Sweep {
        name: "small".into(),
        number: 42,
        question: "Which size?".into(),
        created_at: 900.0,
        updated_at: 1300.0,
        trials,
    }
}
