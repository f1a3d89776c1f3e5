//! What a sweep file says of itself in the comment that it begins with.

use report::Block;

/// Its lines: `# Question   Which size ..`, with lines that go on indented, and paragraphs.
#[derive(Debug, Default, PartialEq)]
pub struct Head {
    facts: Vec<(String, String)>,
    paragraphs: Vec<String>,
}

/// Columns from which on a comment goes on with what was said before.
const INDENT: &str = "  ";

impl Head {
    pub fn of(source: &str) -> Self {
        let mut head = Self::default();
        let mut goes_on = false;
        for line in source.lines().skip_while(|line| line.trim().is_empty()) {
            let Some(text) = line.strip_prefix('#') else { break };
            let text = text.strip_prefix(' ').unwrap_or(text).trim_end();
            goes_on = head.add(text, goes_on);
        }
        head
    }

    /// Whether a next line of a paragraph belongs to it.
    fn add(&mut self, text: &str, goes_on: bool) -> bool {
        if let Some((name, said)) = fact(text) {
            self.facts.push((name.to_owned(), said.to_owned()));
            return false;
        }
        match (text.strip_prefix(INDENT), self.facts.last_mut()) {
            (Some(more), Some((_, said))) if !goes_on => append(said, more.trim_start()),
            _ if text.is_empty() => return false,
            _ if goes_on => {
                self.paragraphs.last_mut().into_iter().for_each(|said| append(said, text));
                return true;
            }
            _ => {
                self.paragraphs.push(text.to_owned());
                return true;
            }
        }
        false
    }

    pub fn blocks(self) -> Vec<Block> {
        let facts = (!self.facts.is_empty()).then_some(Block::Facts(self.facts));
        facts.into_iter().chain(self.paragraphs.into_iter().map(Block::Text)).collect()
    }
}

/// A word, and what is said of it after several blanks.
fn fact(text: &str) -> Option<(&str, &str)> {
    let (name, said) = text.split_once(INDENT)?;
    let is_name = !name.is_empty() && !name.contains(' ');
    (is_name && !said.trim().is_empty()).then(|| (name, said.trim()))
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push(' ');
    }
    text.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, facts: &[(&str, &str)], paragraphs: &[&str]) {
        let owned = |(name, said): &(&str, &str)| ((*name).to_owned(), (*said).to_owned());
        let head = Head {
            facts: facts.iter().map(owned).collect(),
            paragraphs: paragraphs.iter().map(|text| (*text).to_owned()).collect(),
        };
        assert_eq!(Head::of(source), head);
    }

    #[test]
    fn facts_go_on_where_lines_are_indented_and_paragraphs_until_a_blank_one() {
        let source = "# Question   Which size\n#            is best?\n# Cost       nine minutes\n#\n\
                      # Budgets double, and\n# meet.\n#\n# Rates: elsewhere.\n\nname = \"a\" # not this\n# nor this\n";
        check(
            source,
            &[("Question", "Which size is best?"), ("Cost", "nine minutes")],
            &["Budgets double, and meet.", "Rates: elsewhere."],
        );
    }

    #[test]
    fn a_file_without_a_head_has_none() {
        check("name = \"a\"\n# Question   late\n", &[], &[]);
        check("", &[], &[]);
        check("#!/usr/bin/env isoflop\n", &[], &["!/usr/bin/env isoflop"]);
    }
}
