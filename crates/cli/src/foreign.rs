//! Rows of somebody else's table as trials: which column is what, and what no trial can be, by line and
//! column.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use store::{ForeignState, ForeignTrial};
use table::{Missing, Request, Table};

use crate::exit::bad_input;
use crate::input::{Repeats, Rows};

/// Which column of the file is which of `trial_result`. Numbers may be SQL expressions of columns.
#[derive(clap::Args)]
pub struct ColumnArgs {
    /// N, the model's learned parameters
    ///
    /// This and the other columns of numbers may be SQL expressions of the file's columns, names with
    /// blanks in double quotes: '"Training FLOP" / (6 * "Model Size")'; or one number for every row
    #[arg(long, value_name = "COLUMN")]
    params: Option<String>,

    /// Training examples (or tokens) read, repeats counted
    #[arg(long, value_name = "COLUMN")]
    examples_seen: Option<String>,

    /// FLOPs of the whole training
    #[arg(long, value_name = "COLUMN")]
    train_flops: Option<String>,

    /// Validation loss
    #[arg(long, value_name = "COLUMN")]
    val_loss: Option<String>,

    /// Validation error, 0 to 1
    #[arg(long, value_name = "COLUMN")]
    val_error: Option<String>,

    /// Any other metric and its column; may be given several times
    #[arg(long, value_name = "NAME=COLUMN", value_parser = metric)]
    metric: Vec<(String, String)>,

    /// D, examples without repeats; without such a column nothing is taken to be repeated: all rows are
    /// of one set as large as the longest of them
    #[arg(long, value_name = "COLUMN")]
    unique_examples: Option<String>,

    /// Optimiser steps
    #[arg(long, value_name = "COLUMN")]
    steps: Option<String>,

    /// Peak learning rate: of rows that differ in it alone the best counts
    #[arg(long, value_name = "COLUMN")]
    learning_rate: Option<String>,

    /// Seed: rows that differ in it alone are averaged
    #[arg(long, value_name = "COLUMN")]
    seed: Option<String>,

    /// Seconds on the device
    #[arg(long, value_name = "COLUMN")]
    device_s: Option<String>,

    /// Model family; without such a column all are `foreign`
    #[arg(long, value_name = "COLUMN")]
    family: Option<String>,

    /// Name of the model's shape; without such a column its parameters in short
    #[arg(long, value_name = "COLUMN")]
    shape: Option<String>,

    /// What parts the sweep into variants, each fitted by itself with --variant
    #[arg(long, value_name = "COLUMN")]
    variant: Option<String>,

    /// `finished` or `diverged`; without such a column all are finished
    #[arg(long, value_name = "COLUMN")]
    state: Option<String>,

    /// Only rows for which this SQL expression of the file's columns holds
    #[arg(long = "where", value_name = "EXPR")]
    filter: Option<String>,

    /// What to do with rows without N, examples, FLOPs or any metric
    #[arg(long, value_enum, default_value_t = Rows::Refuse)]
    missing: Rows,

    /// What to do with rows that are there twice
    #[arg(long, value_enum, default_value_t = Repeats::Refuse)]
    duplicates: Repeats,
}

/// Names in `trial_result`.
const NUMBERS: [&str; 8] = [
    "params",
    "examples_seen",
    "train_flops",
    "unique_examples",
    "steps",
    "learning_rate",
    "seed",
    "device_s",
];
const TEXTS: [&str; 4] = ["family", "shape", "variant", "state"];
/// Those without which a row is no trial.
const REQUIRED: [&str; 3] = ["params", "examples_seen", "train_flops"];

/// What a file was read as.
pub struct Foreign {
    pub trials: Vec<ForeignTrial>,
    /// By name here, the column or expression there.
    pub columns: BTreeMap<String, String>,
    pub filter: Option<String>,
    pub n_filtered: usize,
    pub n_missing: usize,
    /// Whether [`ColumnArgs::unique_examples`] had to be guessed.
    pub is_one_set: bool,
}

impl ColumnArgs {
    /// # Errors
    /// A file that is no table, a missing column, or a row that cannot be a trial.
    pub fn read(&self, path: &Path) -> anyhow::Result<Foreign> {
        let has = Table::columns(path).map_err(bad_input)?;
        let columns = self.columns(&has);
        if let Some(name) = REQUIRED.into_iter().find(|name| !columns.contains_key(*name)) {
            return Err(bad_input(anyhow!(
                "`{}` has no column `{name}`: say which it is with --{}; it has {}",
                path.display(),
                name.replace('_', "-"),
                has.join(", ")
            )));
        }
        let metrics = self.metrics(&has);
        if metrics.is_empty() {
            return Err(bad_input(anyhow!(
                "`{}` has neither `val_loss` nor `val_error`: say what was measured with --val-loss, --val-error or --metric NAME=COLUMN; it has {}",
                path.display(),
                has.join(", ")
            )));
        }
        let sheet = Sheet::read(self, path, &columns, &metrics)?;
        let (trials, n_without) = sheet.trials(self.missing)?;
        let trials = self.numbered(path, trials)?;
        Ok(Foreign {
            trials,
            is_one_set: !columns.contains_key("unique_examples"),
            columns: columns
                .into_iter()
                .map(|(name, column)| (name.to_owned(), column))
                .chain(metrics)
                .collect(),
            filter: self.filter.clone(),
            n_filtered: sheet.n_filtered,
            n_missing: sheet.n_missing + n_without,
        })
    }

    fn named(&self, name: &str) -> Option<&String> {
        let column = match name {
            "params" => &self.params,
            "examples_seen" => &self.examples_seen,
            "train_flops" => &self.train_flops,
            "unique_examples" => &self.unique_examples,
            "steps" => &self.steps,
            "learning_rate" => &self.learning_rate,
            "seed" => &self.seed,
            "device_s" => &self.device_s,
            "val_loss" => &self.val_loss,
            "val_error" => &self.val_error,
            "family" => &self.family,
            "shape" => &self.shape,
            "variant" => &self.variant,
            "state" => &self.state,
            _ => &None,
        };
        column.as_ref()
    }

    /// The column that was named, or else the one that is called so.
    fn column(&self, name: &str, has: &[String]) -> Option<String> {
        let named = self.named(name).cloned();
        named.or_else(|| has.iter().find(|column| *column == name).cloned())
    }

    fn columns(&self, has: &[String]) -> BTreeMap<&'static str, String> {
        let all = NUMBERS.into_iter().chain(TEXTS);
        all.filter_map(|name| Some((name, self.column(name, has)?))).collect()
    }

    fn metrics(&self, has: &[String]) -> Vec<(String, String)> {
        let ours = ["val_loss", "val_error"];
        let ours =
            ours.into_iter().filter_map(|name| Some((name.to_owned(), self.column(name, has)?)));
        ours.chain(self.metric.iter().cloned()).collect()
    }

    /// Equal rows are refused, or told apart by their number.
    fn numbered(
        &self,
        path: &Path,
        trials: Vec<(u64, ForeignTrial)>,
    ) -> anyhow::Result<Vec<ForeignTrial>> {
        let mut seen: HashMap<String, (u64, u64)> = HashMap::new();
        let number = |(line, trial): (u64, ForeignTrial)| {
            let (first, n) = seen.entry(format!("{trial:?}")).or_insert((line, 0));
            let repeat = *n;
            *n += 1;
            match self.duplicates {
                Repeats::Refuse if repeat > 0 => Err(bad_input(anyhow!(
                    "`{}`: line {line} repeats line {first} in every column that is imported; remove it, name the column that tells them apart (--seed?), or count both with --duplicates keep",
                    path.display()
                ))),
                Repeats::Refuse | Repeats::Keep => Ok(ForeignTrial { repeat, ..trial }),
            }
        };
        trials.into_iter().map(number).collect()
    }
}

/// `name=column`, where the name is one that other metrics could have.
fn metric(text: &str) -> Result<(String, String), String> {
    let (name, column) = text.split_once('=').ok_or("NAME=COLUMN is expected")?;
    let is_sound = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match !name.is_empty() && !column.is_empty() && name.chars().all(is_sound) {
        true => Ok((name.to_owned(), column.to_owned())),
        false => Err("NAME is of letters, digits and `_`, and COLUMN is not empty".to_owned()),
    }
}

/// The file's cells, by line; what may be empty is not there where it is.
struct Sheet {
    path: PathBuf,
    lines: Vec<u64>,
    columns: BTreeMap<&'static str, String>,
    metrics: Vec<(String, String)>,
    numbers: HashMap<String, HashMap<u64, f64>>,
    texts: HashMap<String, HashMap<u64, String>>,
    n_filtered: usize,
    n_missing: usize,
}

impl Sheet {
    fn read(
        args: &ColumnArgs,
        path: &Path,
        columns: &BTreeMap<&'static str, String>,
        metrics: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let filter = args.filter.as_deref();
        let required: Vec<&str> = REQUIRED.iter().map(|name| columns[name].as_str()).collect();
        let missing = match args.missing {
            Rows::Refuse => Missing::Refuse,
            Rows::Drop => Missing::Drop,
        };
        let request = Request { numbers: &required, texts: &[], filter, missing };
        let rows = Table::read(path, &request).map_err(bad_input)?;
        let mut sheet = Self {
            path: path.to_owned(),
            lines: (0..rows.n_rows()).map(|row| rows.line(row)).collect(),
            columns: columns.clone(),
            metrics: metrics.to_vec(),
            numbers: HashMap::new(),
            texts: HashMap::new(),
            n_filtered: rows.n_filtered(),
            n_missing: rows.n_missing(),
        };
        // Each by itself: a row without a rate is a row all the same.
        let of_numbers = NUMBERS.iter().filter_map(|name| columns.get(name));
        for column in of_numbers.chain(metrics.iter().map(|(_, column)| column)) {
            let request =
                Request { numbers: &[column], texts: &[], filter, missing: Missing::Drop };
            let table = Table::read(path, &request).map_err(bad_input)?;
            let cells = table.numbers(column).iter().enumerate();
            let cells = cells.map(|(row, value)| (table.line(row), *value)).collect();
            sheet.numbers.insert(column.clone(), cells);
        }
        for column in TEXTS.iter().filter_map(|name| columns.get(name)) {
            let request =
                Request { numbers: &[], texts: &[column], filter, missing: Missing::Drop };
            let table = Table::read(path, &request).map_err(bad_input)?;
            let cells = table.texts(column).iter().enumerate();
            let cells = cells.map(|(row, text)| (table.line(row), text.clone())).collect();
            sheet.texts.insert(column.clone(), cells);
        }
        Ok(sheet)
    }

    /// By line; and how many rows were left out because nothing was measured.
    fn trials(&self, missing: Rows) -> anyhow::Result<(Vec<(u64, ForeignTrial)>, usize)> {
        let mut largest = 1;
        for &line in &self.lines {
            largest = largest.max(self.required(line, "examples_seen")?);
        }
        let mut trials = Vec::new();
        for &line in &self.lines {
            let trial = self.trial(line, largest)?;
            let is_result = !trial.metrics.is_empty() || trial.state == ForeignState::Diverged;
            match (is_result, missing) {
                (true, Rows::Refuse | Rows::Drop) => trials.push((line, trial)),
                (false, Rows::Drop) => {}
                (false, Rows::Refuse) => {
                    return Err(bad_input(anyhow!(
                        "`{}`, line {line}: nothing was measured; leave such rows out with --missing drop",
                        self.path.display()
                    )));
                }
            }
        }
        match trials.is_empty() {
            true => Err(bad_input(anyhow!("`{}` has no row to import", self.path.display()))),
            false => {
                let n = self.lines.len() - trials.len();
                Ok((trials, n))
            }
        }
    }

    fn trial(&self, line: u64, largest: u64) -> anyhow::Result<ForeignTrial> {
        let params = self.required(line, "params")?;
        let mut metrics = BTreeMap::new();
        for (name, column) in &self.metrics {
            if let Some(value) = self.numbers[column].get(&line) {
                metrics.insert(name.clone(), self.measured(line, name, column, *value)?);
            }
        }
        Ok(ForeignTrial {
            family: self.text(line, "family").unwrap_or("foreign").to_owned(),
            shape: self
                .text(line, "shape")
                .map_or_else(|| report::si(params as f64), str::to_owned),
            params,
            unique_examples: self.count(line, "unique_examples", 1)?.unwrap_or(largest),
            examples_seen: self.required(line, "examples_seen")?,
            steps: self.count(line, "steps", 1)?,
            train_flops: self.positive(line, "train_flops")?.unwrap_or_default(),
            learning_rate: self.positive(line, "learning_rate")?,
            seed: self.count(line, "seed", 0)?,
            variant: self.text(line, "variant").map(str::to_owned),
            state: self.state(line)?,
            device_s: self.positive(line, "device_s")?,
            metrics,
            repeat: 0,
        })
    }

    fn number(&self, line: u64, name: &str) -> Option<f64> {
        self.numbers[self.columns.get(name)?].get(&line).copied()
    }

    fn text(&self, line: u64, name: &str) -> Option<&str> {
        self.texts[self.columns.get(name)?].get(&line).map(String::as_str)
    }

    fn required(&self, line: u64, name: &str) -> anyhow::Result<u64> {
        let count = self.count(line, name, 1)?;
        count.ok_or_else(|| self.refusal(line, name, "is empty"))
    }

    /// A whole number; what was calculated may be off one by rounding.
    fn count(&self, line: u64, name: &str, least: u64) -> anyhow::Result<Option<u64>> {
        let Some(value) = self.number(line, name) else { return Ok(None) };
        const MOST: f64 = 9e18; // the store's integers have 63 bits
        let rounded = value.round();
        match rounded >= least as f64 && rounded <= MOST {
            true => Ok(Some(rounded as u64)),
            false => {
                Err(self.refusal(line, name, &format!("{value} is not a count from {least} on")))
            }
        }
    }

    fn positive(&self, line: u64, name: &str) -> anyhow::Result<Option<f64>> {
        match self.number(line, name) {
            Some(value) if value <= 0.0 => {
                Err(self.refusal(line, name, &format!("{value} is not above 0")))
            }
            other => Ok(other),
        }
    }

    fn state(&self, line: u64) -> anyhow::Result<ForeignState> {
        let Some(word) = self.text(line, "state") else { return Ok(ForeignState::Finished) };
        ForeignState::read(word).ok_or_else(|| {
            let message = format!(
                "`{word}` is neither `finished` nor `diverged`: leave others out with --where"
            );
            self.refusal(line, "state", &message)
        })
    }

    fn measured(&self, line: u64, name: &str, column: &str, value: f64) -> anyhow::Result<f64> {
        let message = match name {
            "val_error" if value > 1.0 => {
                format!("{value} is more than 1: of percents, --val-error '\"{column}\" / 100'")
            }
            "val_error" | "val_loss" if value < 0.0 => format!("{value} is below 0"),
            _ => return Ok(value),
        };
        Err(self.refusal_of(line, column, &message))
    }

    fn refusal(&self, line: u64, name: &str, message: &str) -> anyhow::Error {
        let column = self.columns.get(name).map_or(name, String::as_str);
        self.refusal_of(line, column, message)
    }

    fn refusal_of(&self, line: u64, column: &str, message: &str) -> anyhow::Error {
        bad_input(anyhow!("`{}`, line {line}, column `{column}`: {message}", self.path.display()))
    }
}
