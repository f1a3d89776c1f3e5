//! What figures tell apart by colour and marker: the models of a sweep, in order of size.

use std::collections::{BTreeSet, HashMap};

use report::Size;
use store::TrialResult;

/// A model as far as figures tell it from others: parameters, family, shape and variant.
pub type Model<'a> = (u64, &'a str, &'a str, Option<&'a str>);

pub fn model(result: &TrialResult) -> Model<'_> {
    (result.params, &result.family, &result.shape, result.variant.as_deref())
}

/// By family and shape the fewest parameters that a variant has of it: for figures that show variants by
/// other means, and for which a norm more makes no other size.
pub struct Shapes<'a>(HashMap<(&'a str, &'a str), u64>);

impl<'a> Shapes<'a> {
    pub fn of(results: impl Iterator<Item = &'a TrialResult>) -> Self {
        let mut fewest: HashMap<(&str, &str), u64> = HashMap::new();
        for result in results {
            let params = fewest.entry((&result.family, &result.shape)).or_insert(result.params);
            *params = result.params.min(*params);
        }
        Self(fewest)
    }

    pub fn model(&self, result: &'a TrialResult) -> Model<'a> {
        let (family, shape) = (result.family.as_str(), result.shape.as_str());
        (self.0[&(family, shape)], family, shape, None)
    }
}

/// The models of some results with their ranks and labels.
pub struct Sizes<'a> {
    sizes: HashMap<Model<'a>, Size>,
    has_families: bool,
    has_variants: bool,
    is_spelt_out: bool,
}

impl<'a> Sizes<'a> {
    pub fn of(models: impl Iterator<Item = Model<'a>>) -> Self {
        let models: BTreeSet<_> = models.collect();
        let families: BTreeSet<_> = models.iter().map(|(_, family, ..)| *family).collect();
        let has_families = families.len() > 1;
        let label = |(rank, model): (usize, &Model<'a>)| {
            (*model, Size { label: label(model, has_families), rank })
        };
        Self {
            sizes: models.iter().enumerate().map(label).collect(),
            has_families,
            has_variants: models.iter().any(|(.., variant)| variant.is_some()),
            is_spelt_out: models.iter().all(|(_, _, shape, _)| is_spelt_out(shape)),
        }
    }

    pub fn size(&self, model: &Model<'a>) -> Size {
        self.sizes[model].clone()
    }

    /// What the labels consist of.
    pub fn heading(&self) -> String {
        let shape = if self.is_spelt_out { "width x depth" } else { "shape" };
        let named = [self.has_variants.then_some("variant"), self.has_families.then_some("family")];
        let named = named.into_iter().flatten();
        named.chain([shape, "parameters"]).collect::<Vec<_>>().join(" · ")
    }
}

fn label(&(params, family, shape, variant): &Model, has_families: bool) -> String {
    // `x` between numbers is a sign of multiplication in print.
    let shape = match is_spelt_out(shape) {
        true => shape.replacen('x', "×", 1),
        false => shape.to_owned(),
    };
    let family = has_families.then(|| family.to_owned());
    let parts = [variant.map(str::to_owned), family, Some(shape), Some(report::si(params as f64))];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn is_spelt_out(shape: &str) -> bool {
    shape.chars().all(|c| c.is_ascii_digit() || c == 'x')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_say_what_models_differ_in_and_no_more() {
        let one = Sizes::of([(1000, "vit", "16x2", None), (500, "vit", "8x1", None)].into_iter());
        assert_eq!(one.size(&(1000, "vit", "16x2", None)).label, "16×2 · 1k");
        assert_eq!(one.size(&(1000, "vit", "16x2", None)).rank, 1);
        assert_eq!(one.heading(), "width x depth · parameters");
        let models = [(1000, "vit", "Ti", Some("a")), (1000, "mixer", "S", Some("b"))];
        let several = Sizes::of(models.into_iter());
        assert_eq!(several.size(&models[0]).label, "a · vit · Ti · 1k");
        assert_eq!(several.heading(), "variant · family · shape · parameters");
    }
}
