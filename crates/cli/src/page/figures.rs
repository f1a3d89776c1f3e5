//! The figures, with what each shows.

use report::{Block, PageFigure, Section};

use super::{Record, section};
use crate::figure_file::{Kind, Named};

pub fn section_of(record: &Record) -> Section {
    let all = &record.findings.all;
    let has_data_sizes = all.iter().any(|trial| trial.unique_examples != all[0].unique_examples);
    let is_of_use = |named: &&Named| has_data_sizes || named.kind != Kind::DataSize;
    section("Figures", record.figures.iter().filter(is_of_use).filter_map(block).collect())
}

/// None where a figure has no point to show.
fn block(named: &Named) -> Option<Block> {
    let (name, caption) = caption(named.kind);
    let name = if named.kind == Kind::Scaling && named.name != "scaling" {
        format!("{name}: {}", named.name.replace('_', " "))
    } else {
        match named.name.split_once('_') {
            Some(("isoflop" | "optimum" | "contours", variant)) => format!("{name}: {variant}"),
            _ => name.to_owned(),
        }
    };
    let figure = PageFigure::new(&*named.figure, format!("{name}."), caption).ok()?;
    Some(Block::Figure(figure))
}

const fn caption(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Scaling => (
            "Scaling",
            "A point is the mean over seeds, its bar their spread; a line joins the lengths of one size on one \
             data set. The wide pale line is the frontier, what no other point beats at its compute. The law is \
             fitted to the frontier, and dashed beyond it.",
        ),
        Kind::DataSize => (
            "Unique examples",
            "Each size at the largest compute that all of its data sets were trained for. Sizes stand side by side \
             at a data size, so that their bars can be told apart.",
        ),
        Kind::LossCurves => (
            "Training",
            "Training loss along trunks and the cooldowns that branch from them, and validation loss at the ends of \
             trials.",
        ),
        Kind::Variants => (
            "Variants",
            "Every trial pale, the frontier of each variant, and the law fitted to it.",
        ),
        Kind::Attention => (
            "Attention",
            "The largest attention logit of a trial during training, and below how evenly attention is spread. A \
             cross marks where a loss became non-finite.",
        ),
        Kind::LearningRate => (
            "Learning rate",
            "Final loss at the longest trials that several rates were tried for. Crosses at the upper edge are \
             trials that diverged.",
        ),
        Kind::IsoFlop => (
            "Equal compute",
            "At each compute a parabola of the loss in the logarithm of the size; its minimum is the best size there. \
             Open diamonds are left out of what is drawn through the minima.",
        ),
        Kind::Optimum => (
            "Best size and data",
            "What three approaches hold best at each compute: minima of the parabolas, the frontier, and a law of \
             size and data. Where they disagree, that is how much is not known.",
        ),
        Kind::Contours => (
            "Size and data together",
            "Level lines of the fitted law over size and examples seen, the trials in the colour of what they \
             measured, and the best split of each compute.",
        ),
    }
}
