//! From a `[slurm]` table to what a queue is asked for.

use std::path::PathBuf;

use serde::Deserialize;

use super::Problem;
use crate::slurm::SlurmSpec;

/// The table, exactly as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SlurmTable {
    partition: Option<String>,
    account: Option<String>,
    time: Option<String>,
    gpus_per_node: u32,
    shards: u32,
    gpu_memory: Option<String>,
    cpus: u32,
    mem: Option<String>,
    directives: Vec<String>,
    shared: Option<PathBuf>,
    max_jobs: u32,
    minutes: f64,
    signal_s: u32,
    ask_s: f64,
    grace_s: f64,
}

impl Default for SlurmTable {
    fn default() -> Self {
        Self {
            partition: None,
            account: None,
            time: None,
            gpus_per_node: 1,
            shards: 1,
            gpu_memory: None,
            cpus: 1,
            mem: None,
            directives: Vec::new(),
            shared: None,
            max_jobs: 100,
            minutes: 30.0,
            signal_s: 120,
            ask_s: 10.0,
            // A network file system may keep what it knows of a folder for a minute.
            grace_s: 90.0,
        }
    }
}

/// Options of sbatch that isoflop gives itself, and what to use instead.
const OWN_OPTIONS: [(&str, &str); 14] = [
    ("--partition", "the key `partition`"),
    ("--account", "the key `account`"),
    ("--time", "the key `time`"),
    ("--gpus-per-node", "the key `gpus_per_node`"),
    ("--gres", "the keys `gpus_per_node` and `shards`"),
    ("--cpus-per-task", "the key `cpus`"),
    ("--mem", "the key `mem`"),
    ("--signal", "the key `signal_s`"),
    ("--job-name", "no name: isoflop finds its jobs by theirs"),
    ("--array", "no array: isoflop makes them"),
    ("--dependency", "no dependency: isoflop knows them"),
    ("--output", "`slurm.log` in the job's folder"),
    ("--no-requeue", "nothing: a job that is paused must be able to go on"),
    ("--wrap", "nothing: isoflop writes the script"),
];

/// What the table asks for.
pub(super) fn slurm(table: &SlurmTable) -> Result<SlurmSpec, Problem> {
    check_numbers(table)?;
    check_text("partition", table.partition.as_deref())?;
    check_text("account", table.account.as_deref())?;
    check_time(table)?;
    check_directives(&table.directives)?;
    if let Some(mem) = &table.mem {
        bytes("mem", mem)?;
    }
    let gpu_memory = table.gpu_memory.as_deref().map(|text| bytes("gpu_memory", text));
    Ok(SlurmSpec {
        partition: table.partition.clone(),
        account: table.account.clone(),
        time: table.time.clone(),
        gpus_per_node: table.gpus_per_node,
        shards: table.shards,
        gpu_memory_bytes: gpu_memory.transpose()?,
        cpus: table.cpus,
        mem: table.mem.clone(),
        directives: table.directives.clone(),
        shared: table.shared.clone(),
        max_jobs: table.max_jobs,
        least_s: 60.0 * table.minutes,
        signal_s: table.signal_s,
        ask_s: table.ask_s,
        grace_s: table.grace_s,
    })
}

fn check_numbers(table: &SlurmTable) -> Result<(), Problem> {
    let SlurmTable { gpus_per_node, shards, cpus, max_jobs, .. } = table;
    if *gpus_per_node > 1 {
        let message = "a trial trains on one GPU (1) or on processors alone (0)";
        return Err(Problem::new("gpus_per_node", message));
    }
    for (key, count) in [("shards", shards), ("cpus", cpus), ("max_jobs", max_jobs)] {
        if *count == 0 {
            return Err(Problem::new(key, "must be at least 1"));
        }
    }
    if *shards > 1 && *gpus_per_node == 0 {
        return Err(Problem::new("shards", "are shares of a GPU, and gpus_per_node is 0"));
    }
    if *shards > 1 && table.gpu_memory.is_none() {
        let message = "say how much memory one GPU has (gpu_memory = \"80G\"), so that it is known which trials fit into a share";
        return Err(Problem::new("shards", message));
    }
    let seconds = [("minutes", table.minutes), ("ask_s", table.ask_s), ("grace_s", table.grace_s)];
    for (key, number) in seconds {
        if !(number.is_finite() && number >= 0.0) {
            return Err(Problem::new(key, "must be a number that is not negative"));
        }
    }
    Ok(())
}

fn check_text(key: &str, text: Option<&str>) -> Result<(), Problem> {
    match text {
        Some(text) if text.is_empty() || text.contains(char::is_whitespace) => {
            Err(Problem::new(key, format!("must be one word, not `{text}`")))
        }
        Some(_) | None => Ok(()),
    }
}

fn check_time(table: &SlurmTable) -> Result<(), Problem> {
    let Some(text) = &table.time else { return Ok(()) };
    let Some(limit_s) = seconds(text) else {
        let message = format!("expected \"hours:minutes:seconds\" or \"days-hours\", not `{text}`");
        return Err(Problem::new("time", message));
    };
    match limit_s > u64::from(table.signal_s) {
        true => Ok(()),
        false => {
            let message = format!(
                "leaves no time to train: jobs are told to stop {} s before their limit (signal_s)",
                table.signal_s
            );
            Err(Problem::new("time", message))
        }
    }
}

/// Seconds of a time limit in any of sbatch's six ways to write it.
fn seconds(text: &str) -> Option<u64> {
    let (days, clock) = match text.split_once('-') {
        Some((days, clock)) => (Some(days), clock),
        None => (None, text),
    };
    let number = |text: &str| {
        let is_number =
            !text.is_empty() && text.len() <= 6 && text.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| text.parse::<u64>().ok()).flatten()
    };
    let days = days.map_or(Some(0), number)?;
    let parts: Vec<u64> = clock.split(':').map(number).collect::<Option<_>>()?;
    let of_clock = match (text.contains('-'), &parts[..]) {
        (true, [hours]) => hours * 3600,
        (true, [hours, minutes]) => hours * 3600 + minutes * 60,
        (false, [minutes]) => minutes * 60,
        (false, [minutes, seconds]) => minutes * 60 + seconds,
        (_, [hours, minutes, seconds]) => hours * 3600 + minutes * 60 + seconds,
        _ => return None,
    };
    Some(days * 86_400 + of_clock)
}

fn check_directives(directives: &[String]) -> Result<(), Problem> {
    for (position, directive) in directives.iter().enumerate() {
        let problem = |message: String| Problem::new(format!("directives[{position}]"), message);
        let option = directive.split('=').next().unwrap_or_default();
        if !directive.starts_with('-') || option.contains(char::is_whitespace) {
            let message =
                format!("an option of sbatch is written `--key=value`, not `{directive}`");
            return Err(problem(message));
        }
        if directive.contains(['\n', '\r', '\0']) {
            return Err(problem("an option is one line".to_owned()));
        }
        if let Some((_, instead)) = OWN_OPTIONS.iter().find(|(own, _)| *own == option) {
            return Err(problem(format!("isoflop gives `{option}` itself; use {instead}")));
        }
    }
    Ok(())
}

/// Bytes of a size as sbatch reads it: megabytes, or with one of K, M, G and T.
fn bytes(key: &str, text: &str) -> Result<f64, Problem> {
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (&text[..at], 1e3),
        Some((at, 'M' | 'm')) => (&text[..at], 1e6),
        Some((at, 'G' | 'g')) => (&text[..at], 1e9),
        Some((at, 'T' | 't')) => (&text[..at], 1e12),
        _ => (text, 1e6),
    };
    match number.parse::<u32>() {
        Ok(number) if number > 0 => Ok(f64::from(number) * unit),
        _ => Err(Problem::new(key, format!("expected a size such as \"16G\", not `{text}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Result<SlurmSpec, Problem> {
        slurm(&toml::from_str(text).unwrap())
    }

    #[test]
    fn an_empty_table_asks_for_one_gpu_and_a_hundred_jobs() {
        let spec = table("").unwrap();
        assert_eq!((spec.gpus_per_node, spec.shards, spec.cpus, spec.max_jobs), (1, 1, 1, 100));
        assert_eq!((spec.least_s, spec.signal_s), (1800.0, 120));
        assert_eq!((spec.time, spec.partition, spec.shared), (None, None, None));
    }

    #[test]
    fn every_way_to_write_a_time_limit_is_read() {
        for (text, expected) in [
            ("90", 5400),
            ("90:30", 5430),
            ("02:00:00", 7200),
            ("1-0", 86_400),
            ("1-2:30", 95_400),
            ("1-02:30:01", 95_401),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in ["", "2h", "1:2:3:4", "-1", "1-", "1--2", ":", "+5"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_as_sbatch_reads_them() {
        let size = |text: &str| bytes("mem", text);
        assert_eq!((size("4G"), size("500"), size("1t")), (Ok(4e9), Ok(5e8), Ok(1e12)));
        for text in ["", "G", "4GB", "-4G", "0", "1.5G"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_makes_no_job_is_refused_by_its_key() {
        for (text, key, part) in [
            ("gpus_per_node = 4", "gpus_per_node", "one GPU"),
            ("shards = 0", "shards", "at least 1"),
            ("shards = 4", "shards", "gpu_memory"),
            ("shards = 4\ngpus_per_node = 0", "shards", "gpus_per_node is 0"),
            ("shards = 4\ngpu_memory = \"much\"", "gpu_memory", "16G"),
            ("cpus = 0", "cpus", "at least 1"),
            ("max_jobs = 0", "max_jobs", "at least 1"),
            ("minutes = -1", "minutes", "not negative"),
            ("ask_s = nan", "ask_s", "not negative"),
            ("time = \"two hours\"", "time", "hours:minutes:seconds"),
            ("time = \"00:02:00\"", "time", "signal_s"),
            ("mem = \"4GB\"", "mem", "16G"),
            ("partition = \"a b\"", "partition", "one word"),
            ("directives = [\"constraint=h100\"]", "directives[0]", "--key=value"),
            ("directives = [\"--exclusive\", \"--qos high\"]", "directives[1]", "--key=value"),
            ("directives = [\"--time=1\"]", "directives[0]", "the key `time`"),
            ("directives = [\"--comment=a\\nb\"]", "directives[0]", "one line"),
        ] {
            let problem = table(text).unwrap_err();
            assert_eq!(problem.key, key, "{text}");
            assert!(problem.message.contains(part), "{text}: {}", problem.message);
        }
    }
}
