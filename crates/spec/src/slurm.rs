//! What a queue is asked for, for every Slurm job of a sweep. No part of any trial: the same sweep
//! has the same ids with and without it.

use std::path::PathBuf;

/// The table `[slurm]` of a sweep file, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct SlurmSpec {
    pub partition: Option<String>,
    pub account: Option<String>,
    /// Limit of a job as sbatch reads it; None: the partition's own.
    pub time: Option<String>,
    /// 0 or 1: a trial trains on one GPU or on none.
    pub gpus_per_node: u32,
    /// Shares that the cluster divides a GPU into; with more than one, a trial that needs at most
    /// its share of `gpu_memory_bytes` asks for one of them.
    pub shards: u32,
    /// Of one GPU; None: no trial shares one.
    pub gpu_memory_bytes: Option<f64>,
    /// Processors of a job, and threads of its trainer.
    pub cpus: u32,
    /// Memory of a job's node as sbatch reads it; None: the cluster's default.
    pub mem: Option<String>,
    /// Further options of sbatch.
    pub directives: Vec<String>,
    /// A directory that every node sees; None: the one that the database is in.
    pub shared: Option<PathBuf>,
    /// Jobs that are queued or execute at once, at most.
    pub max_jobs: u32,
    /// Seconds of estimated work that are worth a job of their own.
    pub least_s: f64,
    /// Seconds before its time limit that a job is told to write a checkpoint and queue again.
    pub signal_s: u32,
    /// Seconds from one question to the queue to the next, at least.
    pub ask_s: f64,
    /// Seconds that the last words of a job that has left the queue may take through the shared
    /// directory.
    pub grace_s: f64,
}
