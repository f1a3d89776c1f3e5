//! The batch script: a few values, then the same text for every job.

use spec::PAUSED_EXIT_CODE;
use std::path::Path;

use super::name::JobName;

const TEXT: &str = include_str!("job.sh");

/// What the script of `name` executes; any script of a batch does for an array of it.
pub(super) fn script(
    jobs: &Path,
    name: &JobName,
    trainer: &Path,
    device: &str,
    threads: u32,
) -> String {
    let folder = quoted(&jobs.join(&name.batch).display().to_string());
    let trainer = quoted(&trainer.display().to_string());
    format!(
        "#!/bin/bash\n\
         # Written by isoflop for one Slurm job, or for each task of an array.\n\
         folder={folder} index={}\n\
         trainer={trainer} device={} threads={threads} paused_code={PAUSED_EXIT_CODE}\n\
         {TEXT}",
        name.index,
        quoted(device)
    )
}

/// As one word of a shell, whatever it holds.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_sound_for_any_path() {
        let folder = tempfile::tempdir().unwrap();
        let name = JobName { batch: "a-0".into(), index: 7 };
        let text =
            script(Path::new("/it's $HOME/jobs"), &name, Path::new("/a b/trainer"), "cpu", 2);
        let path = folder.path().join("script.sh");
        std::fs::write(&path, &text).unwrap();
        let checked = std::process::Command::new("bash").arg("-n").arg(&path).status().unwrap();
        assert!(checked.success());
        let head = text.lines().take(4).collect::<Vec<_>>().join("\n");
        let said = std::process::Command::new("bash")
            .args(["-c", &format!("{head}\necho \"$folder|$index|$trainer\"")])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), "/it's $HOME/jobs/a-0|7|/a b/trainer\n");
    }
}
