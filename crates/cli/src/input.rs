//! Curves to analyse: the trials of a stored sweep, or the rows of a table, as points on the axes that
//! are asked for. What is wrong with them is said here, by line and column.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use analysis::law::{Axis, MAX_AXES, Xs};
use analysis::warning::{Code, Warning};
use analysis::{Labels, Point, Selection, check};
use anyhow::{Context, anyhow};
use scheduler::Plan;
use spec::SweepSpec;
use table::{Missing, Request, Table};

use crate::analyse::{Analysis, Outcome, column_of, of_axis, short};
use crate::exit::bad_input;
use crate::stored::StoredSweepArgs;

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("input").required(true).multiple(true).args(["sweeps", "csv"]))]
pub struct InputArgs {
    /// Names of stored sweeps; each is analysed by itself
    #[arg(value_name = "SWEEP", conflicts_with = "csv")]
    pub sweeps: Vec<String>,

    /// The database
    #[arg(long, value_name = "FILE", default_value = "results/isoflop.db")]
    pub db: PathBuf,

    /// A table instead, CSV or parquet; every row is a point
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,

    /// Column of x, as a rule compute or examples seen; of a sweep train_flops
    ///
    /// This and the other columns of numbers may be SQL expressions of columns, names with blanks in
    /// double quotes: '"Training FLOP" / (6 * "Model Size")'
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    pub x: Option<String>,

    /// Column of y, an error or a loss; of a sweep a metric of its evaluations
    ///
    /// val_error (the default), val_loss, or what an evaluation on another task measures, as
    /// few_shot_10_error; the view `evaluation` has them
    #[arg(long, value_name = "COLUMN")]
    pub y: Option<String>,

    /// Column of N, the model's parameters; of a sweep params
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    pub n: Option<String>,

    /// Column of D, the examples or tokens seen; of a sweep examples_seen
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    pub d: Option<String>,

    /// Column of U, the unique examples among them; of a sweep unique_examples
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    pub unique: Option<String>,

    /// Column of optimiser steps: rows of fewer than 500 are warned of
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    pub steps: Option<String>,

    /// Columns whose values part the table into curves; each is analysed by itself
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', requires = "csv")]
    pub group: Vec<String>,

    /// Column of what is resampled together; default every row by itself, of a sweep whole trunks
    #[arg(long, value_name = "COLUMN", requires = "csv")]
    pub cluster: Option<String>,

    /// Only the trials of this variant of a sweep; without this all together
    #[arg(long, value_name = "NAME", conflicts_with = "csv")]
    pub variant: Option<String>,

    /// Only rows for which this SQL expression of columns holds; of a sweep, of trial_result
    #[arg(long = "where", value_name = "EXPR")]
    pub filter: Option<String>,

    /// What to do with rows in which a wanted cell is empty
    #[arg(long, value_enum, default_value_t = Rows::Refuse)]
    pub missing: Rows,

    /// What to do with rows that are there twice
    #[arg(long, value_enum, default_value_t = Repeats::Refuse)]
    pub duplicates: Repeats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Rows {
    /// An error that names the line
    Refuse,
    /// Leave them out, and count them
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Repeats {
    /// An error that names the lines
    Refuse,
    /// Each counts
    Keep,
}

/// Everything that was read.
pub struct Input {
    /// The sweep's name, or the file's.
    pub name: String,
    pub labels: Labels,
    /// What a law of one axis is fitted to unless told otherwise: of a sweep its frontier.
    pub selection: Selection,
    /// At least one.
    pub curves: Vec<Curve>,
}

/// The points of one group.
#[derive(Clone)]
pub struct Curve {
    /// Column and value; empty without groups.
    pub group: Vec<(String, String)>,
    pub points: Vec<Point>,
    /// By point, the cell of each further column that was asked for.
    pub cells: Vec<Vec<String>>,
    /// Trials or rows that are not among the points.
    pub n_dropped: usize,
    /// Training FLOPs per parameter and example of a sweep's trials: their median.
    pub flops_per: Option<f64>,
    pub warnings: Vec<Warning>,
}

/// Fewer optimiser steps than this say more of the warm-up than of the size.
const FEW_STEPS: f64 = 500.0;

impl Curve {
    /// An error with the name of the curve that has it, where there are several.
    pub fn named(&self, error: anyhow::Error) -> anyhow::Error {
        if self.group.is_empty() { error } else { error.context(format!("`{}`", self.name())) }
    }

    /// As figures and tables name it: the cells of its group.
    pub fn name(&self) -> String {
        self.group.iter().map(|(_, cell)| cell.as_str()).collect::<Vec<_>>().join(" ")
    }
}

impl InputArgs {
    /// The trials of a stored sweep that laws of N and D are about: those on its largest set of unique
    /// examples. On a smaller one D is repeats, and a size that memorises is no worse for its size.
    pub fn of_largest_set(
        sweep: &SweepSpec,
        db: &Path,
        y: Option<&str>,
        variant: Option<&str>,
    ) -> Self {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let of_variant =
            variant.map_or(String::new(), |name| format!(" and variant = {}", quoted(name)));
        let largest = format!(
            "unique_examples = (select max(unique_examples) from trial_result where sweep = {}{of_variant})",
            quoted(&sweep.name)
        );
        Self {
            sweeps: vec![sweep.name.clone()],
            db: db.to_owned(),
            csv: None,
            x: None,
            y: y.map(str::to_owned),
            n: None,
            d: None,
            unique: None,
            steps: None,
            group: Vec::new(),
            cluster: None,
            variant: variant.map(str::to_owned),
            filter: Some(largest),
            missing: Rows::Refuse,
            duplicates: Repeats::Refuse,
        }
    }

    /// Points with `axes` as their coordinates, and `cells` of a table's further columns.
    ///
    /// # Errors
    /// A missing sweep, file or column, or values that no law can be fitted to.
    pub async fn read(&self, axes: &[Axis], cells: &[&str]) -> anyhow::Result<Input> {
        let input = match &self.csv {
            Some(csv) => self.read_table(csv, axes, cells)?,
            None => self.read_sweeps(axes).await?,
        };
        for curve in &input.curves {
            let found = refuse_mixed_units(&curve.points, &input.labels);
            found.map_err(|error| curve.named(error))?;
        }
        Ok(input)
    }

    fn read_table(&self, path: &Path, axes: &[Axis], cells: &[&str]) -> anyhow::Result<Input> {
        let columns = self.columns(axes)?;
        let y =
            self.y.clone().ok_or_else(|| bad_input(anyhow!("name the column of y with --y")))?;
        let numbers: Vec<&str> =
            columns.iter().chain([&y]).chain(&self.steps).map(String::as_str).collect();
        let texts: Vec<&str> = self
            .group
            .iter()
            .chain(&self.cluster)
            .map(String::as_str)
            .chain(cells.iter().copied())
            .collect();
        let missing = match self.missing {
            Rows::Refuse => Missing::Refuse,
            Rows::Drop => Missing::Drop,
        };
        let filter = self.filter.as_deref();
        let request = Request { numbers: &numbers, texts: &texts, filter, missing };
        let table = Table::read(path, &request).map_err(bad_input)?;
        refuse_negative(&table, columns.iter().chain([&y]))?;
        let rows = Columns { table: &table, axes: &columns, y: &y, args: self, cells };
        let curves = rows.curves()?;
        let cluster = self.cluster.clone().unwrap_or_else(|| "row".to_owned());
        Ok(Input {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            labels: Labels { axes: columns.clone(), y, cluster },
            selection: Selection::EveryPoint,
            curves,
        })
    }

    /// The column of each axis.
    fn columns(&self, axes: &[Axis]) -> anyhow::Result<Vec<String>> {
        let column = |axis: &Axis| {
            let named = match axis {
                Axis::X => &self.x,
                Axis::N => &self.n,
                Axis::D => &self.d,
                Axis::Unique => &self.unique,
            };
            named.clone().ok_or_else(|| {
                bad_input(anyhow!("name the column of {} with --{}", axis.symbol(), axis.name()))
            })
        };
        axes.iter().map(column).collect()
    }

    async fn read_sweeps(&self, axes: &[Axis]) -> anyhow::Result<Input> {
        let (first, others) =
            self.sweeps.split_first().context("clap requires a sweep or a table")?;
        let mut input = self.read_sweep(first, axes).await?;
        for name in others {
            let other = self.read_sweep(name, axes).await?;
            input.curves.extend(other.curves);
        }
        if !others.is_empty() {
            input.name = self.sweeps.join(", ");
            for (curve, name) in input.curves.iter_mut().zip(&self.sweeps) {
                curve.group = vec![("sweep".to_owned(), name.clone())];
            }
        }
        Ok(input)
    }

    async fn read_sweep(&self, name: &str, axes: &[Axis]) -> anyhow::Result<Input> {
        let stored = StoredSweepArgs { name: name.to_owned(), db: self.db.clone() };
        let (store, sweep) = stored.open().await?;
        let mut results = store.trial_results(&sweep.name).await?;
        let n_all = results.len();
        if let Some(filter) = &self.filter {
            let kept = self.matching(&sweep.name, filter).await?;
            results.retain(|result| kept.contains(&result.trial_id.to_string()));
        }
        if let Some(variant) = &self.variant {
            refuse_unknown_variant(&sweep, variant)?;
            results.retain(|result| result.variant.as_ref() == Some(variant));
        }
        let outcome = match &self.y {
            Some(metric) => Outcome::read(&store, &sweep.name, metric).await?,
            None => Outcome::main(&store, &sweep.name).await?,
        };
        let analysis = Analysis::new(&results, &Plan::new(&sweep.trials, &[]), &outcome);
        let position = |result: &store::TrialResult| -> Xs {
            let mut x = [1.0; MAX_AXES];
            axes.iter().zip(&mut x).for_each(|(axis, x)| *x = of_axis(result, *axis));
            x
        };
        let points = analysis.results.iter().zip(&analysis.points);
        let points: Vec<_> =
            points.map(|(result, point)| Point { x: position(result), ..*point }).collect();
        let mut warnings = analysis.warnings.clone();
        let known_steps = analysis.results.iter().filter_map(|result| result.steps);
        warnings.extend(few_steps(known_steps.map(|steps| steps as f64)));
        let axes = axes.iter().map(|axis| column_of(*axis).to_owned()).collect();
        let n_dropped = analysis.n_dropped + n_all - results.len();
        Ok(Input {
            name: sweep.name,
            labels: Labels { axes, y: outcome.metric, cluster: analysis.unit().to_owned() },
            selection: Selection::Frontier,
            curves: vec![Curve {
                group: Vec::new(),
                cells: Vec::new(),
                points,
                n_dropped,
                flops_per: flops_per(&analysis.results),
                warnings,
            }],
        })
    }

    /// Ids of the sweep's trials for which an expression of `trial_result` holds.
    async fn matching(&self, sweep: &str, filter: &str) -> anyhow::Result<Vec<String>> {
        let quoted = sweep.replace('\'', "''");
        let sql =
            format!("select trial_id from trial_result where sweep = '{quoted}' and ({filter})");
        let found = store::query(&self.db, &sql).await;
        let found = found.with_context(|| format!("--where `{filter}`")).map_err(bad_input)?;
        let id = |row: &Vec<store::Value>| match row.first() {
            Some(store::Value::Text(id)) => Some(id.clone()),
            _ => None,
        };
        Ok(found.rows.iter().filter_map(id).collect())
    }
}

/// A table's columns and what they are for.
struct Columns<'a> {
    table: &'a Table,
    axes: &'a [String],
    y: &'a str,
    args: &'a InputArgs,
    cells: &'a [&'a str],
}

impl Columns<'_> {
    fn curves(&self) -> anyhow::Result<Vec<Curve>> {
        let mut groups: BTreeMap<Vec<&str>, Vec<usize>> = BTreeMap::new();
        for row in 0..self.table.n_rows() {
            let key = self.args.group.iter().map(|column| self.table.texts(column)[row].as_str());
            groups.entry(key.collect()).or_default().push(row);
        }
        // A table without rows is one curve without points.
        if groups.is_empty() {
            groups.insert(vec![""; self.args.group.len()], Vec::new());
        }
        groups.into_iter().map(|(key, rows)| self.curve(&key, &rows)).collect()
    }

    fn curve(&self, key: &[&str], rows: &[usize]) -> anyhow::Result<Curve> {
        let clusters = match &self.args.cluster {
            Some(column) => {
                let texts = self.table.texts(column);
                analysis::labels(rows.iter().map(|&row| &texts[row]))
            }
            None => (0..).take(rows.len()).collect(),
        };
        let point = |((at, &row), cluster): ((u64, &usize), u64)| {
            let mut x = [1.0; MAX_AXES];
            self.axes.iter().zip(&mut x).for_each(|(name, x)| *x = self.table.numbers(name)[row]);
            Point { x, y: self.table.numbers(self.y)[row], configuration: at, cluster }
        };
        let points: Vec<_> = (0..).zip(rows).zip(clusters).map(point).collect();
        if self.args.duplicates == Repeats::Refuse {
            self.refuse_duplicates(&points, rows)?;
        }
        let steps = self
            .args
            .steps
            .iter()
            .flat_map(|name| rows.iter().map(move |&row| self.table.numbers(name)[row]));
        let cells = |&row: &usize| {
            self.cells.iter().map(|column| self.table.texts(column)[row].clone()).collect()
        };
        let names = self.args.group.iter().cloned();
        Ok(Curve {
            group: names.zip(key.iter().map(|cell| (*cell).to_owned())).collect(),
            cells: rows.iter().map(cells).collect(),
            points,
            n_dropped: self.table.n_filtered() + self.table.n_missing(),
            flops_per: None,
            warnings: few_steps(steps).into_iter().collect(),
        })
    }

    /// Points that came out alike may be two measurements; rows that are equal in every column are one.
    fn refuse_duplicates(&self, points: &[Point], rows: &[usize]) -> anyhow::Result<()> {
        let pairs: Vec<_> =
            check::repeats(points).into_iter().map(|(a, b)| (rows[a], rows[b])).collect();
        match self.table.first_repeat(&pairs).map_err(bad_input)? {
            None => Ok(()),
            Some((first, second)) => Err(bad_input(anyhow!(
                "`{}`: line {second} repeats line {first}; remove it, or count both with --duplicates keep",
                self.table.path().display()
            ))),
        }
    }
}

fn refuse_unknown_variant(sweep: &SweepSpec, variant: &str) -> anyhow::Result<()> {
    let names = &sweep.variant_names;
    if names.iter().any(|name| name == variant) {
        return Ok(());
    }
    let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Err(bad_input(anyhow!("sweep `{}` has no variant `{variant}`; it has {has}", sweep.name)))
}

fn refuse_negative<'a>(
    table: &Table,
    columns: impl Iterator<Item = &'a String>,
) -> anyhow::Result<()> {
    for column in columns {
        if let Some(row) = table.numbers(column).iter().position(|value| *value <= 0.0) {
            return Err(bad_input(anyhow!(
                "`{}`, line {}, column `{column}`: {} is not above 0, and laws are fitted in logarithms; leave such rows out with --where",
                table.path().display(),
                table.line(row),
                table.numbers(column)[row]
            )));
        }
    }
    Ok(())
}

fn refuse_mixed_units(points: &[Point], labels: &Labels) -> anyhow::Result<()> {
    let Some(mixed) = check::mixed_units(points) else { return Ok(()) };
    let column = mixed.axis.map_or(&labels.y, |axis| &labels.axes[axis]);
    Err(bad_input(anyhow!(
        "`{column}` seems to be in two units: nothing lies between {} and {}; convert it to one, or choose rows with --where",
        short(mixed.below),
        short(mixed.above)
    )))
}

fn flops_per(results: &[store::TrialResult]) -> Option<f64> {
    let ratio = |result: &store::TrialResult| {
        result.train_flops / (result.params as f64 * result.examples_seen as f64)
    };
    let mut ratios: Vec<_> = results.iter().map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied()
}

fn few_steps(steps: impl Iterator<Item = f64>) -> Option<Warning> {
    let few: Vec<_> = steps.filter(|steps| *steps < FEW_STEPS).collect();
    let smallest = few.iter().copied().fold(f64::INFINITY, f64::min);
    (!few.is_empty()).then(|| Warning {
        code: Code::FewSteps,
        message: format!(
            "{} points come from fewer than {FEW_STEPS} optimiser steps, the fewest {smallest}: they say more of the warm-up than of scale",
            few.len()
        ),
    })
}
