//! What sbatch is asked, and what its answer means.

use std::path::{Path, PathBuf};
use std::time::Duration;

use spec::SlurmSpec;
use tokio::process::Command;

use super::name::{JobName, array_spec};

/// sbatch gives up by itself before this, unless a file system hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Jobs that differ in nothing but their numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Submission {
    /// Of one batch, by rising number; more than one makes an array.
    pub names: Vec<JobName>,
    pub script: PathBuf,
    pub options: Vec<String>,
}

/// What keeps a job from being queued.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Refusal {
    /// Nobody answers, or not now. The job may have been queued all the same.
    Unclear(String),
    /// There are too many jobs; some will end.
    Full(String),
    /// What was asked for cannot be had.
    Never(String),
}

/// Options that all jobs of a sweep have, but for what they share and wait for.
pub(super) fn options(spec: &SlurmSpec, shares_gpu: bool, after: Option<&str>) -> Vec<String> {
    let mut options = vec![
        "--parsable".to_owned(),
        "--open-mode=append".to_owned(),
        "--requeue".to_owned(),
        "--kill-on-invalid-dep=yes".to_owned(),
        "--nodes=1".to_owned(),
        "--ntasks=1".to_owned(),
        format!("--cpus-per-task={}", spec.cpus),
        format!("--signal=B:USR1@{}", spec.signal_s),
    ];
    // `--gpus` would spread a job's GPUs over nodes.
    match (spec.gpus_per_node, shares_gpu) {
        (0, _) => {}
        (_, true) => options.push("--gres=shard:1".to_owned()),
        (n, false) => options.push(format!("--gpus-per-node={n}")),
    }
    let given = [
        ("partition", &spec.partition),
        ("account", &spec.account),
        ("time", &spec.time),
        ("mem", &spec.mem),
    ];
    for (key, value) in given {
        options.extend(value.as_ref().map(|value| format!("--{key}={value}")));
    }
    options.extend(after.map(|id| format!("--dependency=afterok:{id}")));
    options.extend(spec.directives.iter().cloned());
    options
}

impl Submission {
    /// Everything behind `sbatch`; `jobs` is the folder of the jobs' folders.
    pub(super) fn arguments(&self, jobs: &Path) -> Vec<String> {
        // What sbatch would take for a pattern.
        let jobs = jobs.display().to_string();
        let folder = jobs.replace('%', "%%");
        let mut arguments = match &self.names[..] {
            [name] => {
                vec![format!("--job-name={name}"), format!("--output={folder}/{name}/slurm.log")]
            }
            names => {
                let indices: Vec<_> = names.iter().map(|name| name.index).collect();
                let batch = &names[0].batch;
                vec![
                    format!("--job-name={batch}"),
                    format!("--array={}", array_spec(&indices)),
                    format!("--output={folder}/{batch}-%a/slurm.log"),
                ]
            }
        };
        arguments.push(format!("--chdir={jobs}"));
        arguments.extend(self.options.iter().cloned());
        arguments.push(self.script.display().to_string());
        arguments
    }

    /// The id that others may depend on, of each job, where the submission has the id `id`.
    pub(super) fn ids(&self, id: &str) -> Vec<String> {
        match &self.names[..] {
            [_] => vec![id.to_owned()],
            names => names.iter().map(|name| format!("{id}_{}", name.index)).collect(),
        }
    }
}

/// Submits; the id of the job or array.
///
/// # Errors
/// Why it is not, or perhaps not, queued.
pub(super) async fn submit(
    sbatch: &str,
    submission: &Submission,
    jobs: &Path,
) -> Result<String, Refusal> {
    let mut command = Command::new(sbatch);
    command.args(submission.arguments(jobs));
    // A coordinator that is itself a Slurm job must not hand down what it is.
    for variable in ["SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT"] {
        command.env_remove(variable);
    }
    let output = match tokio::time::timeout(PATIENCE, command.output()).await {
        Err(_) => {
            return Err(Refusal::Unclear(format!("no answer in {} s", PATIENCE.as_secs())));
        }
        Ok(Err(error)) => return Err(Refusal::Never(format!("cannot start `{sbatch}`: {error}"))),
        Ok(Ok(output)) => output,
    };
    let answer = String::from_utf8_lossy(&output.stdout);
    // With several clusters: `ID;CLUSTER`.
    let id = answer.trim().split(';').next().unwrap_or_default();
    match output.status.success() && !id.is_empty() {
        true => Ok(id.to_owned()),
        false => Err(refusal(String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn refusal(message: &str) -> Refusal {
    const UNCLEAR: [&str; 6] = [
        "Unable to contact slurm controller",
        "timed out",
        "temporarily",
        "Zero Bytes were transmitted",
        "Communication connection failure",
        "Slurm backup controller in standby mode",
    ];
    const FULL: [&str; 3] = ["submit limit", "MaxSubmitJob", "max job count"];
    let has = |words: &[&str]| {
        let message = message.to_lowercase();
        words.iter().any(|word| message.contains(&word.to_lowercase()))
    };
    // sbatch talks of everything that it tried; its last word is the reason.
    let last = message.lines().last().unwrap_or("no reason given");
    let last = last.trim_start_matches("sbatch: ").trim_start_matches("error: ").to_owned();
    match (has(&UNCLEAR), has(&FULL)) {
        (true, _) => Refusal::Unclear(last),
        (false, true) => Refusal::Full(last),
        (false, false) => Refusal::Never(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(settings: &str) -> SlurmSpec {
        let text = format!(
            "name = \"a\"\n[data]\nsource = \"procedural\"\n[model]\nfamily = \"vit\"\npatch = 8\nshapes = [\"mu\"]\n\
             [axes]\nunique_examples = [1024]\nexamples_seen = [320]\n\
             [train]\nbatch = 32\nlearning_rate = 1e-3\nschedule = {{ decay = \"constant\" }}\n[slurm]\n{settings}"
        );
        spec::SweepSpec::parse("test.toml", &text, &[]).unwrap().slurm.unwrap()
    }

    fn names(indices: &[u32]) -> Vec<JobName> {
        indices.iter().map(|&index| JobName { batch: "a-0".into(), index }).collect()
    }

    #[test]
    fn what_the_table_asks_for_is_what_sbatch_hears() {
        let spec = spec(
            "partition = \"gpu\"\ntime = \"02:00:00\"\ncpus = 4\nmem = \"8G\"\ndirectives = [\"--constraint=h100\"]",
        );
        let options = options(&spec, false, Some("12_3"));
        for option in [
            "--partition=gpu",
            "--time=02:00:00",
            "--cpus-per-task=4",
            "--mem=8G",
            "--gpus-per-node=1",
            "--signal=B:USR1@120",
            "--dependency=afterok:12_3",
            "--constraint=h100",
        ] {
            assert!(options.iter().any(|other| other == option), "{option}: {options:?}");
        }
    }

    #[test]
    fn a_gpu_is_asked_for_whole_or_in_shares_or_not_at_all() {
        let gres = |settings: &str, shares| {
            let options = options(&spec(settings), shares, None);
            options.into_iter().filter(|o| o.starts_with("--g")).collect::<Vec<_>>()
        };
        assert_eq!(gres("", false), ["--gpus-per-node=1"]);
        assert_eq!(gres("shards = 4\ngpu_memory = \"80G\"", true), ["--gres=shard:1"]);
        assert!(gres("gpus_per_node = 0", false).is_empty());
    }

    #[test]
    fn several_names_make_an_array_and_percent_signs_are_no_patterns() {
        let mut submission =
            Submission { names: names(&[3, 4, 9]), script: "s.sh".into(), options: vec![] };
        let arguments = submission.arguments(Path::new("/50%/jobs"));
        assert_eq!(
            arguments,
            [
                "--job-name=a-0",
                "--array=3-4,9",
                "--output=/50%%/jobs/a-0-%a/slurm.log",
                "--chdir=/50%/jobs",
                "s.sh"
            ]
        );
        assert_eq!(submission.ids("12"), ["12_3", "12_4", "12_9"]);
        submission.names = names(&[3]);
        let arguments = submission.arguments(Path::new("/jobs"));
        assert_eq!(arguments[..2], ["--job-name=a-0-3", "--output=/jobs/a-0-3/slurm.log"]);
        assert_eq!(submission.ids("12"), ["12"]);
    }

    #[test]
    fn refusals_that_pass_are_told_from_those_that_do_not() {
        let of =
            |text: &str| refusal(&format!("sbatch: error: Batch job submission failed: {text}"));
        for text in [
            "Unable to contact slurm controller (connect failure)",
            "Socket timed out on send/recv operation",
            "Slurm temporarily unable to accept job, sleeping and retrying",
        ] {
            assert!(matches!(of(text), Refusal::Unclear(_)), "{text}");
        }
        let text =
            "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)";
        assert!(matches!(of(text), Refusal::Full(_)));
        for text in
            ["Invalid partition name specified", "Requested node configuration is not available"]
        {
            let Refusal::Never(reason) = of(text) else { panic!("{text}") };
            assert!(reason.starts_with("Batch job") && reason.ends_with(text), "{reason}");
        }
    }
}
