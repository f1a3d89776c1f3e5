//! Figures as files: drawn as SVG and PNG, and their numbers as CSV.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use report::{Figure, Look, PaperSize, Theme};

use crate::exit::bad_input;

/// One of a sweep's figures.
pub struct Named {
    /// Of its files: `scaling`.
    pub name: String,
    pub kind: Kind,
    pub figure: Box<dyn Figure>,
}

/// What a figure of a sweep shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Scaling,
    DataSize,
    LossCurves,
    Variants,
    Attention,
    LearningRate,
    IsoFlop,
    Optimum,
    Contours,
}

impl Named {
    pub fn new(name: impl Into<String>, kind: Kind, figure: impl Figure + 'static) -> Self {
        Self { name: name.into(), kind, figure: Box::new(figure) }
    }
}

/// Writes each figure as SVG and PNG into `folder`, and its numbers as CSV beside them; the files' paths.
/// Each look has files of its own; the numbers are the same in all.
///
/// # Errors
/// A file that cannot be written.
pub fn write_all(figures: &[Named], look: Look, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder `{}`", folder.display()))
        .map_err(bad_input)?;
    let mut paths = Vec::new();
    for Named { name, figure, .. } in figures {
        // A figure without a single point is no figure; a later call has more to show.
        let Ok(svg) = figure.draw(look) else { continue };
        let drawn = format!("{name}{}", suffix(look));
        let png = report::png(&svg)?;
        for (file, bytes) in [
            (format!("{drawn}.svg"), svg.into_bytes()),
            (format!("{drawn}.png"), png),
            (format!("{name}.csv"), figure.data().csv().into_bytes()),
        ] {
            let path = folder.join(file);
            put(&path, &bytes)?;
            paths.push(path);
        }
    }
    Ok(paths)
}

/// Writes one figure as its file's name says: drawn as `.svg` or `.png`, or its numbers as `.csv`.
///
/// # Errors
/// Another ending, nothing to draw, or a file that cannot be written.
pub fn write(figure: &dyn Figure, look: Look, path: &Path) -> anyhow::Result<()> {
    let bytes = match path.extension().and_then(|extension| extension.to_str()) {
        Some("svg") => figure.draw(look)?.into_bytes(),
        Some("png") => report::png(&figure.draw(look)?)?,
        Some("csv") => figure.data().csv().into_bytes(),
        _ => {
            let message = "a figure is .svg or .png, its numbers are .csv";
            return Err(bad_input(anyhow!("`{}`: {message}", path.display())));
        }
    };
    put(path, &bytes)
}

fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let cannot = || format!("cannot write `{}`", path.display());
    std::fs::write(path, bytes).with_context(cannot).map_err(bad_input)
}

/// What a look that is not the usual one adds to the names of files.
fn suffix(look: Look) -> String {
    let theme = match look.theme {
        Theme::Light => "",
        Theme::Dark => "-dark",
        Theme::Print => "-print",
    };
    let size = match look.size {
        PaperSize::Page => "",
        PaperSize::Column => "-column",
    };
    let titled = if look.is_untitled { "-untitled" } else { "" };
    format!("{theme}{size}{titled}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_usual_look_have_plain_names_and_others_say_what_is_different() {
        assert_eq!(suffix(Look::default()), "");
        let look = Look { theme: Theme::Print, size: PaperSize::Column, is_untitled: true };
        assert_eq!(suffix(look), "-print-column-untitled");
    }
}
