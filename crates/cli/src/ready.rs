//! Questions that are often asked: the files of `queries/`, kept in the program so that they can be
//! asked anywhere. Each begins with a comment that says what it answers.

/// A statement with a name.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    pub name: &'static str,
    pub sql: &'static str,
}

macro_rules! ready {
    ($($name:literal),+ $(,)?) => {
        [$(Ready { name: $name, sql: include_str!(concat!("../../../queries/", $name, ".sql")) }),+]
    };
}

/// In the order of the list.
pub const ALL: [Ready; 10] = ready![
    "sweeps",
    "best-per-size",
    "frontier",
    "seed-spread",
    "learning-rates",
    "transfer",
    "curve",
    "failures",
    "cost-per-size",
    "slowest-segments",
];

impl Ready {
    pub fn find(name: &str) -> Option<Self> {
        ALL.into_iter().find(|ready| ready.name == name)
    }

    /// What it answers.
    pub fn question(self) -> &'static str {
        self.sql.lines().next().unwrap_or_default().trim_start_matches("-- ")
    }

    pub fn parameters(self) -> Vec<String> {
        store::parameters(self.sql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_queries_is_a_ready_question_that_says_what_it_answers() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../queries");
        let stem = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()
        };
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(stem).collect();
        let mut names = ALL.map(|ready| ready.name);
        files.sort();
        names.sort();
        assert_eq!(files, names);
        for ready in ALL {
            assert!(ready.sql.starts_with("-- ") && ready.question().len() > 20, "{}", ready.name);
            assert!(ready.parameters().contains(&"sweep".to_owned()), "{}", ready.name);
        }
    }
}
