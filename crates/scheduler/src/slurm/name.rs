//! Names of jobs: given before sbatch is asked, so that a job can be found whatever happens then.

use std::fmt;

/// `BATCH-INDEX`. One job carries the whole name; of an array, the job is called `BATCH` and the task
/// has the number `INDEX`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct JobName {
    pub batch: String,
    pub index: u32,
}

/// Numbers of an array's tasks are below this: Slurm's own limit (MaxArraySize) is 1001 where nobody
/// has changed it.
const ARRAY_SIZE: u32 = 1000;

impl JobName {
    /// The name of the `n`th job, from 0, of the coordinator that `prefix` belongs to alone.
    pub(super) fn nth(prefix: &str, n: u32) -> Self {
        Self { batch: format!("{prefix}-{}", n / ARRAY_SIZE), index: n % ARRAY_SIZE }
    }

    /// Reads back what was written; None where it is no such name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (batch, index) = text.rsplit_once('-')?;
        Some(Self { batch: batch.to_owned(), index: index.parse().ok()? })
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}-{}", self.batch, self.index)
    }
}

/// Numbers as `--array` takes them: `1,4-7`. They must rise.
pub(super) fn array_spec(indices: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &index in indices {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == index => *last = index,
            _ => runs.push((index, index)),
        }
    }
    let run = |(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_a_thousand_share_a_batch() {
        let name = JobName::nth("isoflop-small-x1", 1999);
        assert_eq!(name.to_string(), "isoflop-small-x1-1-999");
        assert_eq!(JobName::parse(&name.to_string()), Some(name));
        assert_eq!(JobName::parse("notebook"), None);
    }

    #[test]
    fn runs_of_numbers_are_written_short() {
        assert_eq!(array_spec(&[1, 2, 3, 7, 9, 10]), "1-3,7,9-10");
        assert_eq!(array_spec(&[5]), "5");
    }
}
