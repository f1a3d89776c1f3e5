//! The test cluster itself.

use std::time::Instant;

use test_support::Cluster;

#[test]
fn a_cluster_starts_and_leaves_no_process_behind() {
    let start = Instant::now();
    let Some(cluster) = Cluster::start() else {
        println!(
            "skipped: a_cluster_starts_and_leaves_no_process_behind: no Slurm; `make setup-slurm`"
        );
        return;
    };
    println!("a cluster starts in {:.1} s", start.elapsed().as_secs_f64());
    cluster.output("sbatch", &["--wrap", "sleep 1234"]);
    cluster.wait_for("a job", || cluster.n_processes("sleep") == 1);
    let (_, mark) = cluster.environment();
    let start = Instant::now();
    drop(cluster);
    println!("and is gone in {:.1} s", start.elapsed().as_secs_f64());
    let mark = mark.display().to_string();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let is_left = String::from_utf8_lossy(&environ).contains(&mark);
        assert!(!is_left, "{} is left", entry.path().display());
    }
}
