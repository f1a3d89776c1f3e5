//! Axes: which part of the number line is shown, and where its ticks are. Knows no pixels: a
//! position is a share of the axis, 0 at its lower end.

use crate::number::{minus, power_of_ten, si};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    Linear,
    Log,
}

/// Largest value that an axis shows, and the inverse of the least on a logarithmic one: far enough
/// from the ends of `f64` that the padded range does not reach them.
const LARGEST: f64 = 1e200;
/// Share of the span that is left free beyond the outermost values.
const PADDING: f64 = 0.04;

/// What an axis of a decade or two may name, in tenths of a power of ten: every multiple, and
/// thinner choices for where those are too close.
const CHOICES: [&[i32]; 5] = [
    &[10, 20, 30, 40, 50, 60, 70, 80, 90],
    &[10, 20, 30, 40, 50, 70],
    &[10, 20, 30, 50],
    &[10, 20, 50],
    &[10, 30],
];
/// For where whole multiples are too few.
const HALVES: &[i32] = &[10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Ticks {
    pub(crate) major: Vec<(f64, String)>,
    /// Without a label.
    pub(crate) minor: Vec<f64>,
}

impl Scale {
    pub(crate) fn shows(self, value: f64) -> bool {
        match self {
            Self::Linear => value.abs() <= LARGEST,
            Self::Log => (1.0 / LARGEST..=LARGEST).contains(&value),
        }
    }

    /// To the line on which the axis is even.
    fn forward(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.log10(),
        }
    }

    fn back(self, even: f64) -> f64 {
        match self {
            Self::Linear => even,
            Self::Log => 10_f64.powf(even),
        }
    }
}

/// Whether logarithmic axes can show a point.
pub(crate) fn on_log_axes(&(x, y): &(f64, f64)) -> bool {
    Scale::Log.shows(x) && Scale::Log.shows(y)
}

impl Axis {
    /// The range of `values` and some room around it; `None` where the scale shows none of them.
    pub(crate) fn over(scale: Scale, values: impl Iterator<Item = f64>) -> Option<Self> {
        let shown = values.filter(|value| scale.shows(*value)).map(|value| scale.forward(value));
        let (low, high) = shown.fold(None, |range, value| {
            let (low, high) = range.unwrap_or((value, value));
            Some((value.min(low), value.max(high)))
        })?;
        let least = match scale {
            Scale::Linear => 1e-3 * low.abs().max(high.abs()),
            Scale::Log => 1e-3,
        };
        let padding = if high - low > least {
            PADDING * (high - low)
        } else {
            // One value, or as good as one: it stands in the middle.
            match scale {
                Scale::Linear if low == 0.0 => 1.0,
                Scale::Linear => 0.2 * low.abs(),
                Scale::Log => 0.3,
            }
        };
        Some(Self { scale, low: scale.back(low - padding), high: scale.back(high + padding) })
    }

    /// Exactly from `low` to `high`; `None` where the scale cannot show that or it is empty.
    pub(crate) fn between(scale: Scale, low: f64, high: f64) -> Option<Self> {
        let shown = scale.shows(low) && scale.shows(high) && low < high;
        shown.then_some(Self { scale, low, high })
    }

    pub(crate) fn shows(&self, value: f64) -> bool {
        self.scale.shows(value)
    }

    /// Share of the axis at `value`, held within it; a value that the scale cannot show lies at
    /// the lower end.
    pub(crate) fn position(&self, value: f64) -> f64 {
        if self.scale == Scale::Log && value <= 0.0 {
            return 0.0;
        }
        self.share(value).clamp(0.0, 1.0)
    }

    /// Share of the axis at `value`, beyond 0 and 1 where that is not on it.
    pub(crate) fn share(&self, value: f64) -> f64 {
        let [low, high, at] = [self.low, self.high, value].map(|v| self.scale.forward(v));
        (at - low) / (high - low)
    }

    pub(crate) fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Ticks whose labels are at least `gap` of the axis apart.
    pub(crate) fn ticks(&self, gap: f64) -> Ticks {
        match self.scale {
            Scale::Linear => Ticks { major: self.even_ticks(gap), minor: Vec::new() },
            Scale::Log => self.log_ticks(gap),
        }
    }

    /// Ticks at exactly these values, where their labels have room.
    pub(crate) fn ticks_at(&self, values: &[f64], gap: f64) -> Option<Ticks> {
        let label = |value: &f64| (*value, si(*value));
        self.roomy(values, gap)
            .then(|| Ticks { major: values.iter().map(label).collect(), minor: Vec::new() })
    }

    fn roomy(&self, values: &[f64], gap: f64) -> bool {
        values.windows(2).all(|pair| self.position(pair[1]) - self.position(pair[0]) >= gap)
    }

    fn log_ticks(&self, gap: f64) -> Ticks {
        let decades = self.multiples(&[10]);
        let majors = self.log_majors(&decades, gap).or_else(|| self.log_pair(gap));
        let Some(majors) = majors else {
            return Ticks { major: self.even_ticks(gap), minor: Vec::new() };
        };
        let minor = if decades.len() <= 8 { self.multiples(CHOICES[0]) } else { decades };
        let minor = minor.into_iter().filter(|value| !majors.contains(value)).collect();
        Ticks {
            major: majors.into_iter().map(|value| (value, self.log_label(value))).collect(),
            minor,
        }
    }

    /// Every so many decades where there are at least three; else multiples, at least four if that
    /// is possible. `None` where all of that is too sparse to read a value from.
    fn log_majors(&self, decades: &[f64], gap: f64) -> Option<Vec<f64>> {
        if decades.len() >= 3 {
            let mut strides = (1..decades.len()).map(|stride| every(decades, stride));
            return strides.find(|values| self.roomy(values, gap));
        }
        let choices = || CHOICES.iter().map(|of| self.multiples(of));
        let four = choices().chain([self.multiples(HALVES)]).filter(|values| values.len() >= 4);
        let three = choices().filter(|values| values.len() == 3);
        let two = (decades.len() == 2).then(|| decades.to_vec());
        four.chain(three).chain(two).find(|values| self.roomy(values, gap))
    }

    /// Two multiples, where a step that is even would have room for one tick alone.
    fn log_pair(&self, gap: f64) -> Option<Vec<f64>> {
        let mut pairs = CHOICES.iter().map(|of| self.multiples(of)).filter(|pair| pair.len() == 2);
        let alone = self.even_ticks(gap).len() < 2;
        pairs.find(|pair| alone && self.roomy(pair, gap))
    }

    /// Tenths of the powers of ten on this axis, in order.
    fn multiples(&self, tenths: &[i32]) -> Vec<f64> {
        let exponents = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let values =
            exponents.flat_map(|exponent| tenths.iter().map(move |n| decimal(*n, exponent - 1)));
        values.filter(|value| self.holds(*value)).collect()
    }

    /// Plain numbers where all of the axis reads well so, powers of ten elsewhere.
    fn log_label(&self, value: f64) -> String {
        if self.low >= 1e-4 && self.high <= 1e5 {
            return format!("{value}");
        }
        let exponent = (value.log10() + 1e-9).floor() as i32;
        let multiple = (value / 10_f64.powi(exponent - 1)).round() / 10.0;
        let factor = if multiple == 1.0 { String::new() } else { format!("{multiple}×") };
        minus(&format!("{factor}10^{{{exponent}}}"))
    }

    /// Ticks at a step of 1, 2 or 5 times a power of ten: the smallest with room.
    fn even_ticks(&self, gap: f64) -> Vec<(f64, String)> {
        let span = self.high - self.low;
        let finest = (span * gap.max(0.02)).log10().floor() as i32;
        let steps = (finest..finest + 4).flat_map(|exponent| [1, 2, 5].map(|n| (n, exponent)));
        let sets: Vec<_> =
            steps.map(|(n, exponent)| (self.steps(decimal(n, exponent)), exponent)).collect();
        let found = sets.iter().find(|(values, _)| !values.is_empty() && self.roomy(values, gap));
        let (values, exponent) = found.cloned().unwrap_or_else(|| {
            // Not even two have room: one in the middle.
            let (values, exponent) = sets.first().cloned().unwrap_or_default();
            (values.get(values.len() / 2).copied().into_iter().collect(), exponent)
        });
        even_labels(self.scale, &values, exponent)
    }

    fn steps(&self, step: f64) -> Vec<f64> {
        let (first, last) = ((self.low / step).ceil(), (self.high / step).floor());
        let n = (last - first).clamp(0.0, 100.0) as u32;
        (0..=n).map(|i| (first + f64::from(i)) * step).filter(|value| self.holds(*value)).collect()
    }
}

/// `n` x 10^exponent as the nearest number to that decimal, so that it prints as 0.3.
fn decimal(n: i32, exponent: i32) -> f64 {
    format!("{n}e{exponent}").parse().expect("an integer with an exponent is a number")
}

fn every(values: &[f64], stride: usize) -> Vec<f64> {
    values.iter().copied().step_by(stride).collect()
}

/// As many decimals as the step needs, prefixes for thousands on a linear axis, powers of ten for
/// what is far from 1; whichever comes first that tells all values apart.
fn even_labels(scale: Scale, values: &[f64], step_exponent: i32) -> Vec<(f64, String)> {
    let decimals = usize::try_from(-step_exponent).unwrap_or(0).min(6);
    let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let digits = 1 + largest.max(f64::MIN_POSITIVE).log10().floor() as i32 - step_exponent;
    let digits = u8::try_from(digits.clamp(1, 6)).unwrap_or(1);
    let label = |value: f64| match (largest, scale) {
        (1e4..1e18, Scale::Linear) => minus(&si(value)),
        (1e-4..1e4, _) => minus(&format!("{value:.decimals$}")),
        (_, _) => power_of_ten(value, digits),
    };
    let mut labels: Vec<String> = values.iter().map(|value| label(*value)).collect();
    if labels.windows(2).any(|pair| pair[0] == pair[1]) {
        labels = values.iter().map(|value| minus(&format!("{value:.7e}"))).collect();
    }
    values.iter().copied().zip(labels).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(scale: Scale, low: f64, high: f64, gap: f64) -> Vec<String> {
        let ticks = Axis { scale, low, high }.ticks(gap);
        ticks.major.into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn decades_are_written_as_powers_of_ten() {
        let axis = Axis { scale: Scale::Log, low: 8e9, high: 6e12 };
        let ticks = axis.ticks(0.1);
        let written: Vec<&str> = ticks.major.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(written, ["10^{10}", "10^{11}", "10^{12}"]);
        assert!(ticks.minor.contains(&9e9) && ticks.minor.contains(&2e12));
    }

    #[test]
    fn errors_that_span_less_than_a_decade_have_plain_ticks() {
        assert_eq!(labels(Scale::Log, 0.28, 1.02, 0.1), ["0.3", "0.4", "0.5", "0.7", "1"]);
        assert_eq!(
            labels(Scale::Log, 0.28, 0.92, 0.04),
            ["0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]
        );
        assert_eq!(
            labels(Scale::Log, 0.411, 0.449, 0.1),
            ["0.415", "0.420", "0.425", "0.430", "0.435", "0.440", "0.445"]
        );
    }

    #[test]
    fn a_loss_from_one_to_three_gets_halves() {
        assert_eq!(labels(Scale::Log, 0.97, 3.1, 0.06), ["1", "1.5", "2", "2.5", "3"]);
        assert_eq!(labels(Scale::Log, 0.97e9, 2.1e9, 0.1)[..2], ["1.0×10^{9}", "1.2×10^{9}"]);
    }

    #[test]
    fn a_narrow_axis_of_less_than_a_decade_still_names_two_values() {
        assert_eq!(labels(Scale::Log, 1.1e7, 7e7, 0.3), ["2×10^{7}", "5×10^{7}"]);
    }

    #[test]
    fn many_decades_are_thinned_evenly() {
        assert_eq!(
            labels(Scale::Log, 0.5, 2e12, 0.2),
            ["10^{0}", "10^{3}", "10^{6}", "10^{9}", "10^{12}"]
        );
    }

    #[test]
    fn linear_ticks_are_round_and_say_thousands_with_a_prefix() {
        assert_eq!(labels(Scale::Linear, 0.0, 21_000.0, 0.2), ["0", "5k", "10k", "15k", "20k"]);
        assert_eq!(labels(Scale::Linear, -0.5, 0.55, 0.2), ["−0.5", "0.0", "0.5"]);
    }

    #[test]
    fn equal_values_stand_in_the_middle() {
        for (scale, value) in [(Scale::Log, 0.3), (Scale::Linear, 7.0), (Scale::Linear, 0.0)] {
            let axis = Axis::over(scale, [value, value].into_iter()).unwrap();
            assert!((axis.position(value) - 0.5).abs() < 1e-9);
            assert!(axis.ticks(0.1).major.len() >= 2);
        }
    }

    #[test]
    fn values_that_the_scale_cannot_show_are_left_out() {
        assert!(Axis::over(Scale::Log, [f64::NAN, 0.0, -1.0].into_iter()).is_none());
        let axis = Axis::over(Scale::Log, [f64::INFINITY, 1.0, 10.0, -5.0].into_iter()).unwrap();
        assert!(axis.low > 0.9 && axis.high < 11.0);
    }

    #[test]
    fn an_exact_range_is_refused_where_it_is_empty_or_not_on_the_scale() {
        assert!(Axis::between(Scale::Log, 1.0, 10.0).is_some_and(|axis| axis.holds(10.0)));
        for (low, high) in [(0.0, 1.0), (2.0, 2.0), (3.0, 1.0), (1.0, f64::NAN)] {
            assert!(Axis::between(Scale::Log, low, high).is_none(), "{low} to {high}");
        }
    }

    #[test]
    fn the_ends_of_the_range_have_room_beyond_them() {
        let axis = Axis::over(Scale::Log, [1.0 / LARGEST, LARGEST].into_iter()).unwrap();
        assert!(axis.low > 0.0 && axis.high.is_finite());
        assert!((2..12).contains(&axis.ticks(0.1).major.len()));
    }

    proptest! {
        #[test]
        fn ticks_are_on_the_axis_in_order_and_apart(
            a in -10.0..10.0_f64, b in -10.0..10.0_f64, log in any::<bool>(),
            exponent in -12..12_i32, gap in 0.02..0.3_f64,
        ) {
            let scale = if log { Scale::Log } else { Scale::Linear };
            let value = |v: f64| if log { 10_f64.powf(v) } else { v * 10_f64.powi(exponent) };
            let values = [value(a), value(b)];
            let axis = Axis::over(scale, values.into_iter()).unwrap();
            let ticks = axis.ticks(gap);
            let values: Vec<f64> = ticks.major.iter().map(|(value, _)| *value).collect();
            prop_assert!(!values.is_empty());
            prop_assert!(axis.roomy(&values, gap));
            prop_assert!(values.iter().chain(&ticks.minor).all(|value| axis.holds(*value)));
            let told_apart = ticks.major.windows(2).all(|pair| pair[0].1 != pair[1].1);
            prop_assert!(told_apart, "{:?}", ticks.major);
        }
    }
}
