//! Single tables of a sweep file as JSON: the trainer's ways in for weights.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Problem, SpecError, expand, file, model};
use crate::model::ModelSpec;
use crate::schedule::Cooldown;
use crate::train::TrainSpec;

/// The model of a spec file: the `[model]` table of a sweep file as JSON, with `shape` in the place of
/// `shapes`, and `resolution` and `classes`. `file` is its name in errors.
///
/// # Errors
/// Text that is not JSON, an unknown or missing key, or values that make no model.
pub fn model_from_json(file: &str, text: &str) -> Result<ModelSpec, SpecError> {
    let json = |error| SpecError::Json { file: file.to_owned(), error };
    let mut table: Map<String, Value> = serde_json::from_str(text).map_err(json)?;
    if table.contains_key("shapes") {
        let message = "a file of one model has one `shape`";
        return Err(json_problem(file, Problem::new("shapes", message)));
    }
    let mut own = |key: &str| table.remove(key).unwrap_or_default();
    let (shape, resolution, classes) = (own("shape"), own("resolution"), own("classes"));
    let shape = model::ShapeEntry::deserialize(shape)
        .map_err(|error| json_problem(file, Problem::new("shape", error)))?;
    let number = |key: &str, value: Value| {
        u32::deserialize(value).map_err(|error| json_problem(file, Problem::new(key, error)))
    };
    let (resolution, classes) = (number("resolution", resolution)?, number("classes", classes)?);
    let table = model::ModelTable::deserialize(Value::Object(table)).map_err(json)?;
    table.model(&shape, resolution, classes).map_err(|problem| json_problem(file, problem))
}

/// The `[train]` table of a sweep file as JSON, with one learning rate; a batch of `batch` and a constant
/// schedule where it says nothing of them.
///
/// # Errors
/// Text that is not JSON, an unknown or missing key, or values that make no training.
pub fn train_from_json(file: &str, text: &str, batch: u32) -> Result<TrainSpec, SpecError> {
    let json = |error| SpecError::Json { file: file.to_owned(), error };
    let mut table: Map<String, Value> = serde_json::from_str(text).map_err(json)?;
    table.entry("batch").or_insert(batch.into());
    table.entry("schedule").or_insert(serde_json::json!({ "decay": "constant" }));
    let table = file::TrainTable::deserialize(Value::Object(table)).map_err(json)?;
    let problem = |problem| json_problem(file, problem);
    if table.schedule.cooldown != Cooldown::Steps(0) {
        let message = "a cooldown is a trial's, and this is none: leave it out";
        return Err(problem(Problem::new("schedule.cooldown", message)));
    }
    match table.learning_rate {
        file::LearningRate::One(rate) => {
            let rate = expand::positive(rate)
                .map_err(|message| problem(Problem::new("learning_rate", message)))?;
            expand::train(&table, rate).map_err(problem)
        }
        file::LearningRate::Tuned(_) | file::LearningRate::ByShape(_) => {
            Err(problem(Problem::new("learning_rate", "one number is needed here")))
        }
    }
}

fn json_problem(file: &str, problem: Problem) -> SpecError {
    let Problem { key, message } = problem;
    SpecError::InvalidJson { file: file.to_owned(), key, message }
}
