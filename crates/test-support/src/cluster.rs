//! A Slurm of three nodes with two imaginary GPUs each, all on this machine, for one test.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A running cluster; every process of it, trainers included, ends with it.
pub struct Cluster {
    folder: tempfile::TempDir,
}

const NODES: [&str; 3] = ["n1", "n2", "n3"];

/// Where Debian has daemons, which not every user's PATH has.
const DAEMONS: &str = "/usr/sbin:/sbin:/usr/local/sbin";

/// Most clusters are up in a second.
const PATIENCE: Duration = Duration::from_secs(30);

impl Cluster {
    /// Starts one; None where Slurm is not installed.
    ///
    /// # Panics
    /// A cluster that does not start.
    pub fn start() -> Option<Self> {
        let needed = ["slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "scontrol"];
        if !needed.iter().all(|program| is_installed(program)) {
            return None;
        }
        // munged wants a folder that everybody may enter.
        let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        let folder = tempfile::Builder::new().permissions(everybody).tempdir();
        let cluster = Self { folder: folder.expect("a temporary folder can be made") };
        cluster.configure().expect("its files can be written");
        cluster.start_daemon(
            "munged",
            &[
                "--key-file=etc/munge.key",
                "--socket=run/munge.socket",
                "--pid-file=run/munged.pid",
                "--log-file=log/munged.log",
                "--seed-file=run/munge.seed",
            ],
        );
        cluster.start_controller();
        for node in NODES {
            cluster.start_node(node);
        }
        cluster.wait_for("three idle nodes", || {
            let nodes = cluster.output("sinfo", &["-h", "-N", "-o", "%N %T"]);
            nodes.lines().filter(|line| line.ends_with(" idle")).count() == NODES.len()
        });
        Some(cluster)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What makes a program talk to this cluster: a variable and its value.
    pub fn environment(&self) -> (&'static str, PathBuf) {
        ("SLURM_CONF", self.path("etc/slurm.conf"))
    }

    /// A folder with an sbatch and a squeue of this cluster.
    pub fn programs(&self) -> PathBuf {
        self.path("bin")
    }

    /// Whether those two find anybody who answers.
    pub fn set_deaf(&self, is_deaf: bool) {
        match is_deaf {
            true => fs::write(self.path("deaf"), "").expect("a mark can be written"),
            false => fs::remove_file(self.path("deaf")).expect("the mark is there"),
        }
    }

    /// Standard output of one of Slurm's programs.
    pub fn output(&self, program: &str, args: &[&str]) -> String {
        let output = self.command(program).args(args).output().expect("Slurm is installed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn command(&self, program: &str) -> Command {
        let (variable, value) = self.environment();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(program);
        command
            .env(variable, value)
            .env("PATH", format!("{path}:{DAEMONS}"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    fn start_daemon(&self, program: &str, args: &[&str]) {
        let status = self.command(program).args(args).status();
        assert!(status.is_ok_and(|status| status.success()), "`{program}` does not start");
    }

    fn start_controller(&self) {
        self.start_daemon("slurmctld", &["-c"]);
    }

    /// Starts a node's daemon, for the first time or after [`Self::kill_node`].
    pub fn start_node(&self, node: &str) {
        self.start_daemon("slurmd", &["-N", node]);
    }

    /// Kills a node's daemon, as a crash would.
    pub fn kill_node(&self, node: &str) {
        let is_daemon = |process: &&Process| {
            process.name == "slurmd" && process.arguments.iter().any(|argument| argument == node)
        };
        self.processes().iter().filter(is_daemon).for_each(Process::kill);
    }

    /// Kills what watches over jobs on their nodes; what the jobs have started lives on.
    pub fn kill_watchers(&self) {
        let is_watcher = |process: &&Process| process.name.starts_with("slurmstepd");
        self.processes().iter().filter(is_watcher).for_each(Process::kill);
    }

    /// Makes Slurm believe that a node is gone, as it does by itself some time after it has gone: its jobs
    /// are queued again.
    pub fn give_up_node(&self, node: &str) {
        let node = format!("NodeName={node}");
        self.output("scontrol", &["update", &node, "State=DOWN", "Reason=test"]);
    }

    /// Kills a job's processes that are called so; `number` is the job's own, also of an array's task.
    pub fn kill_in_job(&self, number: &str, name: &str) {
        let is_meant =
            |process: &&Process| process.name == name && process.job.as_deref() == Some(number);
        self.processes().iter().filter(is_meant).for_each(Process::kill);
    }

    /// Number of processes of this cluster whose program is called so.
    pub fn n_processes(&self, name: &str) -> usize {
        self.processes().iter().filter(|process| process.name == name).count()
    }

    /// # Panics
    /// It does not become true.
    pub fn wait_for(&self, what: &str, is_true: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_true() {
            assert!(Instant::now() < deadline, "waited for {what}: {}", self.logs());
            sleep(Duration::from_millis(50));
        }
    }

    /// The ends of the daemons' logs.
    fn logs(&self) -> String {
        let logs = fs::read_dir(self.path("log")).into_iter().flatten().flatten();
        let end = |entry: fs::DirEntry| {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let lines: Vec<_> = text.lines().rev().take(5).collect();
            let lines: String = lines.iter().rev().map(|line| format!("\n  {line}")).collect();
            format!("\n{}:{lines}", entry.path().display())
        };
        logs.map(end).collect()
    }

    fn configure(&self) -> io::Result<()> {
        for folder in ["bin", "etc", "run", "log", "state", "spool"] {
            fs::create_dir(self.path(folder))?;
        }
        let key: Vec<u8> =
            (0..64).flat_map(|n: u64| (n * 0x9e37_79b9_7f4a_7c15).to_le_bytes()).collect();
        fs::write(self.path("etc/munge.key"), key)?;
        set_mode(&self.path("etc/munge.key"), 0o600)?;
        fs::write(self.path("etc/slurm.conf"), self.slurm_conf())?;
        // Nobody opens the files of GPUs: they must only be there.
        let gres = "Name=gpu File=/dev/tty[0-1]\nName=shard Count=8\n";
        fs::write(self.path("etc/gres.conf"), gres)?;
        for program in ["sbatch", "squeue"] {
            let path = self.path("bin").join(program);
            fs::write(&path, self.wrapper(program))?;
            set_mode(&path, 0o755)?;
        }
        Ok(())
    }

    fn wrapper(&self, program: &str) -> String {
        let (variable, value) = self.environment();
        format!(
            "#!/bin/sh\n\
             if [ -e '{deaf}' ]; then\n\
                 echo '{program}: error: Unable to contact slurm controller (connect failure)' >&2\n\
                 exit 1\n\
             fi\n\
             {variable}='{value}' exec /usr/bin/{program} \"$@\"\n",
            deaf = self.path("deaf").display(),
            value = value.display(),
        )
    }

    fn slurm_conf(&self) -> String {
        let (host, user) = (word("hostname", "-s"), word("id", "-un"));
        let (folder, port) = (self.folder.path().display(), free_ports(1 + NODES.len()));
        format!(
            "ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/run/munge.socket,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,kill_invalid_depend
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=3
MinJobAge=3600
SlurmdTimeout=10
GresTypes=gpu,shard
DefMemPerCPU=200
NodeName=n[1-3] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs=4 Sockets=1 CoresPerSocket=4 ThreadsPerCore=1 RealMemory=4000 Gres=gpu:2,shard:8
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
",
            first = port + 1,
            last = usize::from(port) + NODES.len(),
        )
    }

    /// All that was started with this cluster's configuration, by whomever.
    fn processes(&self) -> Vec<Process> {
        let (variable, value) = self.environment();
        let mark = format!("{variable}={}", value.display());
        let own = std::process::id();
        let all = fs::read_dir("/proc").into_iter().flatten().flatten();
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| *pid != own)
            .filter_map(|pid| Process::marked(pid, &mark))
            .collect()
    }
}

impl Drop for Cluster {
    /// Daemons first, so that nothing begins any more.
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let processes = self.processes();
            if processes.is_empty() || Instant::now() > deadline {
                return;
            }
            let is_daemon = |process: &&Process| process.name.starts_with("slurm");
            processes.iter().filter(is_daemon).for_each(Process::kill);
            processes.iter().filter(|process| !is_daemon(process)).for_each(Process::kill);
            sleep(Duration::from_millis(20));
        }
    }
}

struct Process {
    pid: u32,
    name: String,
    arguments: Vec<String>,
    /// Number of the job that it belongs to.
    job: Option<String>,
}

impl Process {
    /// The process if it is alive and has `mark` in its environment.
    fn marked(pid: u32, mark: &str) -> Option<Self> {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).ok();
        let texts = |bytes: Vec<u8>| -> Vec<String> {
            let texts = bytes.split(|byte| *byte == 0);
            texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect()
        };
        let environment = texts(read("environ")?);
        if !environment.iter().any(|variable| variable == mark) {
            return None;
        }
        let job = environment.iter().find_map(|text| text.strip_prefix("SLURM_JOB_ID="));
        Some(Self {
            pid,
            name: String::from_utf8_lossy(&read("comm")?).trim().to_owned(),
            arguments: read("cmdline").map(texts).unwrap_or_default(),
            job: job.map(str::to_owned),
        })
    }

    fn kill(&self) {
        // It may have ended by itself.
        let _ =
            Command::new("kill").args(["-9", &self.pid.to_string()]).stderr(Stdio::null()).status();
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = format!("{path}:{DAEMONS}");
    folders.split(':').any(|folder| Path::new(folder).join(program).exists())
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

fn word(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output().expect("every system has it");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The first of so many neighbouring ports that nobody listens at. Below those that the system gives
/// to outgoing connections; every process begins elsewhere, and every cluster where the last one ended.
fn free_ports(n: usize) -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let span = u16::try_from(n).expect("a few ports");
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    for _ in 0..1000 {
        let taken = TAKEN.fetch_add(span.into(), Ordering::Relaxed);
        let offset = (std::process::id().wrapping_mul(100).wrapping_add(taken)) % 20_000;
        let first = 10_000 + u16::try_from(offset).expect("below 20,000");
        if (first..first + span).all(is_free) {
            return first;
        }
    }
    panic!("no free ports from 10,000 to 30,000");
}
