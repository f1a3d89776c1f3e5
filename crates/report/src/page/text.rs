//! Text with a little markup as HTML.

use maud::{Markup, html};

use crate::canvas::{Level, plain, stretches};

/// `10^{9}` raised, `N_{opt}` lowered, and what is in backticks as code; one without its other is text.
pub(super) fn rich(text: &str) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return raised(text);
    }
    html! {
        @for (i, part) in parts.iter().enumerate() {
            @if i % 2 == 1 { code { (part) } } @else { (raised(part)) }
        }
    }
}

/// Without any of it.
pub(super) fn bare(text: &str) -> String {
    plain(text).replace('`', "")
}

fn raised(text: &str) -> Markup {
    html! {
        @for stretch in stretches(text) {
            @match stretch.level {
                Level::Base => (stretch.text),
                Level::Raised => sup { (stretch.text) },
                Level::Lowered => sub { (stretch.text) },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_ours_and_what_it_holds_is_escaped() {
        for (text, html) in [
            ("10^{9} FLOPs", "10<sup>9</sup> FLOPs"),
            ("N_{<b>}", "N<sub>&lt;b&gt;</sub>"),
            ("see `a<b` & more", "see <code>a&lt;b</code> &amp; more"),
            ("an odd ` one", "an odd ` one"),
            ("`10^{9}`", "<code>10^{9}</code>"),
            ("", ""),
        ] {
            assert_eq!(rich(text).into_string(), html);
        }
        assert_eq!(bare("`a` 10^{9}"), "a 10^9");
    }
}
