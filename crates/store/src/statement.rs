//! Just enough of SQLite's lexical rules (sqlite.org/lang_comment.html, lang_keywords.html) to find
//! where a statement begins and ends. What is inside is SQLite's business.

/// The first word of each statement in `sql`, in lower case; text without a word has an empty one.
pub(crate) fn first_words(sql: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = sql;
    loop {
        rest = skip_blank(rest);
        if rest.is_empty() {
            return words;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (statement, after) = split_statement(rest);
        if !statement.is_empty() {
            words.push(rest[..end].to_ascii_lowercase());
        }
        rest = after;
    }
}

/// What comes after white space and comments.
fn skip_blank(sql: &str) -> &str {
    let mut rest = sql;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\u{feff}');
        let length = comment_length(rest);
        if length == 0 {
            return rest;
        }
        rest = &rest[length..];
    }
}

/// Bytes of the comment that `sql` begins with; one that is not closed ends with the text.
fn comment_length(sql: &str) -> usize {
    if sql.starts_with("--") {
        sql.find('\n').map_or(sql.len(), |at| at + 1)
    } else if let Some(inside) = sql.strip_prefix("/*") {
        inside.find("*/").map_or(sql.len(), |at| at + 4)
    } else {
        0
    }
}

/// Up to the first `;` that is not quoted or in a comment, and what follows it.
fn split_statement(sql: &str) -> (&str, &str) {
    let mut at = 0;
    while let Some(next) = sql[at..].chars().next() {
        let rest = &sql[at..];
        at += match next {
            ';' => return (&sql[..at], &rest[1..]),
            '\'' | '"' | '`' => quoted_length(rest, next),
            '[' => quoted_length(rest, ']'),
            _ => comment_length(rest).max(next.len_utf8()),
        };
    }
    (sql, "")
}

/// Bytes of the quoted text that `sql` begins with. A doubled quote inside reads as two texts, which
/// end in the same place.
fn quoted_length(sql: &str, close: char) -> usize {
    sql[1..].find(close).map_or(sql.len(), |at| at + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, words: &[&str]) {
        assert_eq!(first_words(sql), words, "{sql}");
    }

    #[test]
    fn the_first_word_is_found_behind_comments_and_case() {
        check("SELECT 1", &["select"]);
        check(" -- select\n /* ; */ With x as (select 1) select * from x", &["with"]);
        check("(select 1)", &[""]);
        check("", &[]);
        check(" ;; -- nothing", &[]);
    }

    #[test]
    fn only_a_bare_semicolon_ends_a_statement() {
        check("select ';', \";\", `;`, [;] -- ;\n /* ; */ from x;", &["select"]);
        check("select 'it''s; fine'; ", &["select"]);
        check("select 'ü;é' ; delete from x", &["select", "delete"]);
        check("select 1; /* open ; ", &["select"]);
    }
}
