//! What the best size is at each compute.

use analysis::isoflop::ProfileOptions;
use analysis::law::Axis;

use crate::commands::profiles::Approaches;
use crate::figure;
use crate::figure_file::{Kind, Named};
use crate::input::InputArgs;

/// None where there are too few sizes or lengths to say. `variant` is in the names of files.
///
/// # Errors
/// What the input refuses.
pub async fn figures(args: &InputArgs, variant: Option<&str>) -> anyhow::Result<Vec<Named>> {
    let input = args.read(&[Axis::X, Axis::N, Axis::D], &[]).await?;
    let curve = &input.curves[0];
    let Ok(approaches) = Approaches::new(&input, curve, &ProfileOptions::default()) else {
        return Ok(Vec::new());
    };
    let suffix = variant.map_or(String::new(), |name| format!("_{}", plain(name)));
    let name = |kind: &str| format!("{kind}{suffix}");
    let profile = figure::of_profile(&input, curve, &approaches.profile);
    let mut figures = vec![Named::new(name("isoflop"), Kind::IsoFlop, profile)];
    if let Ok(optimum) = figure::of_optimum(&input, &approaches, None) {
        figures.push(Named::new(name("optimum"), Kind::Optimum, optimum));
    }
    if let Ok(contours) = figure::of_parametric(&input, &approaches) {
        figures.push(Named::new(name("contours"), Kind::Contours, contours));
    }
    Ok(figures)
}

/// As part of a file's name.
fn plain(name: &str) -> String {
    name.replace(|c: char| !c.is_alphanumeric() && c != '-', "-")
}
