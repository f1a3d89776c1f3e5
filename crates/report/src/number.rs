//! Numbers as people read them, in tables and in figures. What is not finite is written `-`.

const MISSING: &str = "-";

/// Two significant digits for tables: `1.3e11`.
pub fn scientific(value: f64) -> String {
    if value.is_finite() { format!("{value:.1e}") } else { MISSING.to_owned() }
}

/// `digits` significant digits for figures: `1.3×10^{11}`; a plain number from 0.001 to 9999.
pub fn power_of_ten(value: f64, digits: u8) -> String {
    if !value.is_finite() {
        return MISSING.to_owned();
    }
    let (mantissa, exponent) = parts(value, digits);
    if (-3..4).contains(&exponent) {
        let decimals = usize::try_from(i32::from(digits) - 1 - exponent).unwrap_or(0);
        return minus(&format!("{value:.decimals$}"));
    }
    minus(&format!("{mantissa}×10^{{{exponent}}}"))
}

/// Three significant digits and a prefix, for counts of parameters and examples: `95.4k`. Beyond
/// the prefixes as [`scientific`].
pub fn si(count: f64) -> String {
    const PREFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    if !count.is_finite() {
        return MISSING.to_owned();
    }
    let exponent = if count == 0.0 { 0 } else { parts(count, 3).1 };
    let thousands = exponent.div_euclid(3).max(0);
    let prefix = usize::try_from(thousands).ok().and_then(|index| PREFIXES.get(index));
    let Some(prefix) = prefix else { return scientific(count) };
    let scaled = count / 1000_f64.powi(thousands);
    let decimals = usize::try_from(2 - (exponent - 3 * thousands)).unwrap_or(0).min(6);
    format!("{}{prefix}", trimmed(&format!("{scaled:.decimals$}")))
}

/// Three decimals, for errors and losses: `0.312`.
pub fn error(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { MISSING.to_owned() }
}

/// The two largest units: `48s`, `3m 20s`, `2h 05m`, `4d 01h`.
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return MISSING.to_owned();
    }
    let s = seconds.round() as u64;
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m {:02}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h {:02}m", s / 3_600, s / 60 % 60),
        86_400.. => format!("{}d {:02}h", s / 86_400, s / 3_600 % 24),
    }
}

/// Mantissa of `digits` significant digits and power of ten, rounded together: 9.96 is 10 of two.
fn parts(value: f64, digits: u8) -> (String, i32) {
    let text = format!("{value:.*e}", usize::from(digits.saturating_sub(1)));
    let (mantissa, exponent) = text.split_once('e').expect("`e` formatting writes an exponent");
    (mantissa.to_owned(), exponent.parse().expect("the exponent of a finite number is an integer"))
}

fn trimmed(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// A true minus sign for the hyphen.
pub(crate) fn minus(text: &str) -> String {
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flops_are_written_with_two_digits_in_tables_and_as_powers_in_figures() {
        assert_eq!(scientific(1.3e11), "1.3e11");
        assert_eq!(scientific(9.96e11), "1.0e12");
        assert_eq!(power_of_ten(1.3e11, 2), "1.3×10^{11}");
        assert_eq!(power_of_ten(9.96e11, 2), "1.0×10^{12}");
        assert_eq!(power_of_ten(-2.0e-7, 1), "−2×10^{−7}");
        assert_eq!(power_of_ten(0.312, 2), "0.31");
        assert_eq!(power_of_ten(0.0, 2), "0.0");
        assert_eq!(power_of_ten(1234.0, 2), "1234");
    }

    #[test]
    fn counts_keep_three_digits_and_no_empty_decimals() {
        let cases = [(0.0, "0"), (7.0, "7"), (999.0, "999"), (5_000.0, "5k"), (95_400.0, "95.4k")];
        let larger = [
            (999_960.0, "1M"),
            (21_700_000.0, "21.7M"),
            (2.2e10, "22G"),
            (3e21, "3.0e21"),
            (-95_400.0, "-95.4k"),
        ];
        for (count, text) in cases.into_iter().chain(larger) {
            assert_eq!(si(count), text);
        }
    }

    #[test]
    fn durations_show_the_two_largest_units() {
        let cases = [
            (0.4, "0s"),
            (59.7, "1m 00s"),
            (200.0, "3m 20s"),
            (7_500.0, "2h 05m"),
            (349_300.0, "4d 01h"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn what_is_not_finite_is_a_dash() {
        for value in [f64::NAN, f64::INFINITY] {
            let written = [
                scientific(value),
                power_of_ten(value, 2),
                si(value),
                error(value),
                duration(value),
            ];
            assert!(written.iter().all(|text| text == "-"), "{written:?}");
        }
    }
}
