//! The fitted laws with their intervals and what to doubt about them, and what they predict.

use analysis::Fit;
use analysis::fit::ParamEstimate;
use analysis::law::with_values;
use report::{Block, Column, Section, Table};

use super::{Record, section};
use crate::analyse::{Analysis, X, short};
use crate::axis_label;

/// Computes that are predicted for, over the largest that was measured.
const TARGETS: [f64; 5] = [1.0, 3.0, 10.0, 30.0, 100.0];

pub fn section_of(record: &Record) -> Section {
    let mut blocks = of_analysis(&record.findings.main, &record.fits);
    blocks.extend(prediction(record));
    for (analysis, fits) in record.findings.others.iter().zip(&record.other_fits) {
        blocks.extend(of_analysis(analysis, fits));
    }
    section("Fits", blocks)
}

/// Nothing where nothing was measured.
fn of_analysis(analysis: &Analysis, fits: &[Fit]) -> Vec<Block> {
    if analysis.results.is_empty() {
        return Vec::new();
    }
    let n = analysis.frontier().len();
    let y = axis_label::name(analysis.y());
    let mut blocks = vec![Block::Heading(format!("Frontier of {y} against compute"))];
    let Some(first) = fits.first() else {
        let text = format!("The frontier has {n} points, too few for a law: add lengths or sizes.");
        blocks.push(Block::Text(text));
        return blocks;
    };
    blocks.push(Block::Text(format!(
        "{n} points. Of {} laws {} comes first: it predicts the frontier's held-out end best, or as well as a law \
         of more parameters. Intervals are the middle {:.0}% of a bootstrap over {}.",
        fits.len(),
        first.law.name(),
        100.0 * first.level,
        first.bootstrap.as_ref().map_or_else(|| "nothing".to_owned(), |counts| {
            format!("{} draws of whole {}s", counts.n, counts.unit)
        })
    )));
    let caption = "Parameters; C is in FLOPs".to_owned();
    blocks.push(Block::Table { caption, table: parameters(fits) });
    let caption = "How well each law holds".to_owned();
    blocks.push(Block::Table { caption, table: quality(fits) });
    blocks.push(Block::Notes(warnings(fits)));
    blocks
}

/// Each once, with the laws that it is about.
fn warnings(fits: &[Fit]) -> Vec<String> {
    let mut told: Vec<(&str, Vec<&str>)> = Vec::new();
    for (fit, warning) in fits.iter().flat_map(|fit| fit.warnings.iter().map(move |w| (fit, w))) {
        match told.iter_mut().find(|(message, _)| *message == warning.message) {
            Some((_, laws)) => laws.push(fit.law.name()),
            None => told.push((&warning.message, vec![fit.law.name()])),
        }
    }
    told.into_iter().map(|(message, laws)| format!("{}: {message}", laws.join(", "))).collect()
}

fn parameters(fits: &[Fit]) -> Table {
    let columns = vec![
        Column::left("law"),
        Column::left("fitted"),
        Column::left("parameter"),
        Column::right("value"),
        Column::right("low"),
        Column::right("high"),
    ];
    let of_fit = |fit: &Fit| {
        let all = fit.params.iter().chain(&fit.derived).enumerate();
        let row = |(i, param): (usize, &ParamEstimate)| {
            // Once for the whole law.
            let named = match i {
                0 => [format!("{}: {}", fit.law.name(), formula(fit)), with_numbers(fit)],
                _ => [String::new(), String::new()],
            };
            let ends = param.interval.map_or([f64::NAN; 2], |(low, high)| [low, high]);
            let numbers = [param.value, ends[0], ends[1]].map(number);
            named.into_iter().chain([param.name.to_owned()]).chain(numbers).collect()
        };
        all.map(row).collect::<Vec<_>>()
    };
    Table { columns, rows: fits.iter().flat_map(of_fit).collect() }
}

/// With exponents raised.
pub fn formula(fit: &Fit) -> String {
    let names: Vec<_> = fit.params.iter().map(|param| param.name.to_owned()).collect();
    format!("y = {}", with_values(fit.law, &names, &["C"]))
}

fn with_numbers(fit: &Fit) -> String {
    let values: Vec<_> =
        fit.params.iter().map(|param| report::power_of_ten(param.value, 3)).collect();
    with_values(fit.law, &values, &["C"])
}

fn quality(fits: &[Fit]) -> Table {
    let columns = vec![
        Column::left("law"),
        Column::right("points"),
        Column::right("rms residual"),
        Column::right("seed noise"),
        Column::right("held-out end"),
        Column::right("starts at the best"),
        Column::right("draws unconverged"),
        Column::right("AICc"),
    ];
    let row = |fit: &Fit| {
        let held = fit.holdout.as_ref();
        vec![
            fit.law.name().to_owned(),
            fit.n_points.to_string(),
            percent(Some(fit.residual_rms)),
            percent(fit.seed_noise),
            held.map_or("-".to_owned(), |held| {
                format!("{} on {}", percent(Some(held.rmse_log)), held.n)
            }),
            format!("{} of {}", fit.starts.at_best, fit.starts.n),
            fit.bootstrap
                .as_ref()
                .map_or("-".to_owned(), |counts| format!("{} of {}", counts.unconverged, counts.n)),
            fit.aicc.map_or("-".to_owned(), |aicc| format!("{aicc:.1}")),
        ]
    };
    Table { columns, rows: fits.iter().map(row).collect() }
}

/// What the default estimator says of the main metric.
fn prediction(record: &Record) -> Vec<Block> {
    let Some(forecast) = &record.forecast else { return Vec::new() };
    let y = axis_label::name(record.findings.main.y());
    let last = forecast.ranges[X].1;
    let row = |times: f64| {
        let said = forecast.predict(times * last);
        vec![
            report::power_of_ten(times * last, 2),
            format!("{times}"),
            report::error(said.value),
            report::error(said.low),
            report::error(said.high),
        ]
    };
    let columns = vec![
        Column::right("compute (FLOPs)"),
        Column::right("times the largest"),
        Column::right(axis_label::with_unit(record.findings.main.y())),
        Column::right("low"),
        Column::right("high"),
    ];
    let table = Table { columns, rows: TARGETS.map(row).to_vec() };
    let text = format!(
        "What the default estimator, an average of curves, expects a measurement at a compute never run to give: the \
         value, and the interval that it should lie in {:.0} times of 100. `isoflop predict {} --target C` answers \
         for other computes.",
        100.0 * forecast.level,
        record.sweep.name
    );
    let warnings = forecast.warnings.iter().map(|warning| warning.message.clone()).collect();
    vec![
        Block::Heading(format!("Predicted {y}")),
        Block::Text(text),
        Block::Table { caption: String::new(), table },
        Block::Notes(warnings),
    ]
}

/// As figures write it, for what may be of any size.
fn number(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "-".to_owned(),
        1e-3..1e4 => short(value),
        _ => report::power_of_ten(value, 3),
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.2}%", 100.0 * share))
}
