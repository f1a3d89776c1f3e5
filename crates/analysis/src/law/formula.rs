//! A law's formula with numbers in it, for a figure's legend.

use super::Law;

/// The right-hand side of the law's formula (the whole of it where y stands on both), with `values`
/// for the parameters, `symbols` for the axes, and `^{..}` around what is raised.
pub fn with_values(law: &dyn Law, values: &[String], symbols: &[&str]) -> String {
    let formula = law.formula().strip_prefix("y = ").unwrap_or(law.formula());
    let params = law.params().iter().map(|param| param.name);
    let axes = law.axes().iter().map(|axis| axis.symbol());
    let named: Vec<(&str, &str)> = params
        .zip(values.iter().map(String::as_str))
        .chain(axes.zip(symbols.iter().copied()))
        .collect();
    let value = |word: &str| named.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
    raised(&words(formula).map(|word| value(word).unwrap_or(word)).collect::<Vec<_>>())
}

/// The names in a formula.
#[cfg(test)]
pub(super) fn symbols(formula: &str) -> impl Iterator<Item = &str> {
    words(formula).filter(|word| word.starts_with(char::is_alphabetic))
}

/// Names and numbers whole, everything else by the character.
fn words(formula: &str) -> impl Iterator<Item = &str> {
    formula.split_inclusive(|c: char| !c.is_alphanumeric()).flat_map(|piece| {
        let end = piece.len()
            - piece.chars().last().map_or(0, |c| usize::from(!c.is_alphanumeric()) * c.len_utf8());
        [&piece[..end], &piece[end..]].into_iter().filter(|word| !word.is_empty())
    })
}

/// Joins words; `^` raises a sign and the word after it, or a whole pair of brackets.
fn raised(words: &[&str]) -> String {
    let mut text = String::new();
    let mut at = 0;
    while at < words.len() {
        if words[at] != "^" {
            text += if words[at] == "-" { "−" } else { words[at] };
            at += 1;
            continue;
        }
        let end = at + 1 + exponent_length(&words[at + 1..]);
        let brackets = words[at + 1] == "(";
        let inner = if brackets { &words[at + 2..end - 1] } else { &words[at + 1..end] };
        text += "^{";
        inner.iter().for_each(|word| text += if *word == "-" { "−" } else { word });
        text += "}";
        at = end;
    }
    text
}

fn exponent_length(words: &[&str]) -> usize {
    match words[0] {
        "-" => 2,
        "(" => words.iter().position(|word| *word == ")").map_or(words.len(), |at| at + 1),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::law::{BNSL1, Chinchilla, M4, Zhai};

    #[test]
    fn numbers_and_symbols_take_the_names_places() {
        let values = |n: usize| (1..=n).map(|i| i.to_string()).collect::<Vec<_>>();
        let check = |law: &dyn Law, symbols: &[&str], expected: &str| {
            assert_eq!(with_values(law, &values(law.params().len()), symbols), expected);
        };
        check(&Zhai, &["C"], "1 (C + 4)^{−2} + 3");
        check(&M4, &["C"], "(y − 3)/(4 − y)^{5} = 1 C^{−2}");
        check(&BNSL1, &["C"], "1 + 2 C^{−3} (1 + (C/5)^{1/6})^{−4 6}");
        check(&Chinchilla, &["N", "D"], "3 + 1 N^{−4} + 2 D^{−5}");
    }
}
