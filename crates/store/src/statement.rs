//! Just enough of SQLite's lexical rules (sqlite.org/lang_comment.html, lang_keywords.html) to find
//! where a statement begins and ends, and which parameters it has. What else is inside is SQLite's business.

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

/// The names of a statement's parameters, `:name`, `@name` or `$name`, each once and in order.
pub fn parameters(sql: &str) -> Vec<String> {
    numbered(sql).1
}

/// A statement with numbers for the names of its parameters, and the names by number.
pub(crate) fn numbered(sql: &str) -> (String, Vec<String>) {
    let (mut text, mut names) = (String::with_capacity(sql.len()), Vec::<String>::new());
    let mut rest = sql;
    while let Some(next) = rest.chars().next() {
        let token = &rest[..token_length(rest, next)];
        match token.strip_prefix([':', '@', '$']).filter(|name| !name.is_empty()) {
            None => text.push_str(token),
            Some(name) => {
                let known = names.iter().position(|known| known == name);
                let number = known.unwrap_or_else(|| {
                    names.push(name.to_owned());
                    names.len() - 1
                });
                text.push_str(&format!("?{}", number + 1));
            }
        }
        rest = &rest[token.len()..];
    }
    (text, names)
}

/// Bytes of the name, parameter, quoted text, comment or single character that `sql` begins with.
fn token_length(sql: &str, next: char) -> usize {
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let name_length = |sql: &str| sql.find(|c| !is_name(c)).unwrap_or(sql.len());
    match next {
        '\'' | '"' | '`' => quoted_length(sql, next),
        '[' => quoted_length(sql, ']'),
        ':' | '@' | '$' => 1 + name_length(&sql[1..]),
        c if is_name(c) => name_length(sql),
        _ => comment_length(sql).max(next.len_utf8()),
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
    fn parameters_are_found_where_sqlite_finds_them() {
        let check = |sql: &str, text: &str, names: &[&str]| {
            assert_eq!(numbered(sql), (text.to_owned(), names.iter().map(|&n| n.into()).collect()));
        };
        check("select :a, @b, $c, :a", "select ?1, ?2, ?3, ?1", &["a", "b", "c"]);
        check("select x from t where x=:größe;", "select x from t where x=?1;", &["größe"]);
        let none = "select ':a', \":b\", [:c], `:d`, a$e, 'it''s :f' -- :g\n /* :h */ : x";
        check(none, none, &[]);
        check("select ':open", "select ':open", &[]);
    }

    #[test]
    fn only_a_bare_semicolon_ends_a_statement() {
        check("select ';', \";\", `;`, [;] -- ;\n /* ; */ from x;", &["select"]);
        check("select 'it''s; fine'; ", &["select"]);
        check("select 'ü;é' ; delete from x", &["select", "delete"]);
        check("select 1; /* open ; ", &["select"]);
    }
}
