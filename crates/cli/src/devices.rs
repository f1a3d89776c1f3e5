//! The slots that a sweep trains on, and what this machine is.

use std::collections::{HashMap, HashSet};
use std::process::Command;
use std::str::FromStr;

use anyhow::{bail, ensure};
use scheduler::{Lane, Lanes, Slot};
use spec::Id;

/// `--devices`: where trainers are placed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Devices {
    /// Every GPU, or else one single-thread slot per core: on tiny models several one-thread
    /// trainers beat one many-thread trainer.
    Auto,
    /// So many slots, the cores divided among them.
    Cpu(u32),
    Cuda(Vec<u32>),
}

/// A slot and the name of the device it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSlot {
    pub slot: Slot,
    pub device_name: String,
    /// A core's own, or one of a GPU's.
    pub lane: Lane,
    /// Among the lanes of its device.
    pub number: u32,
}

impl NamedSlot {
    /// What the slot is called beside others: `cpu 0`, `gpu 1.3`.
    pub fn name(&self, index: usize) -> String {
        match &self.slot.visible_gpu {
            Some(gpu) => format!("gpu {gpu}.{}", self.number),
            None => format!("{} {index}", self.slot.device),
        }
    }
}

/// Which slots share a device. `peak_bytes`: what segments are expected to hold there, by workload.
pub fn lanes(slots: &[NamedSlot], peak_bytes: HashMap<Id, u64>) -> Lanes {
    Lanes::new(slots.iter().map(|slot| slot.lane).collect(), peak_bytes)
}

/// Devices below slots: GPUs, or shares of a CPU.
pub fn n_devices(slots: &[NamedSlot]) -> usize {
    slots.iter().map(|slot| slot.lane.device).collect::<HashSet<_>>().len()
}

const EXPECTED: &str = "expected auto, cpu:N or cuda:0,1";

/// What trains side by side without sharing: GPUs are devices, shares of a CPU are slots. `1 device`,
/// `2 slots`.
pub fn devices_in_words(n: usize, are_gpus: bool) -> String {
    let what = if are_gpus { "device" } else { "slot" };
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Far above any machine's cores.
const MAX_CPU_SLOTS: u32 = 1024;

/// Most trainers on one GPU. Each has its part of the cores, whether it comes to work or not.
const MAX_LANES: u32 = 8;

impl FromStr for Devices {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        match text.split_once(':') {
            Some(("cpu", n)) => match n.parse() {
                Ok(n @ 1..=MAX_CPU_SLOTS) => Ok(Self::Cpu(n)),
                _ => bail!("`{n}` is no number of CPU slots from 1 to {MAX_CPU_SLOTS}; {EXPECTED}"),
            },
            Some(("cuda", list)) => gpu_numbers(list).map(Self::Cuda),
            _ => bail!(EXPECTED),
        }
    }
}

fn gpu_numbers(list: &str) -> anyhow::Result<Vec<u32>> {
    let numbers: Result<Vec<u32>, _> = list.split(',').map(str::parse).collect();
    let Ok(numbers) = numbers else { bail!("`{list}` is no list of GPU numbers; {EXPECTED}") };
    let is_distinct = numbers.iter().collect::<HashSet<_>>().len() == numbers.len();
    ensure!(is_distinct, "`{list}` names a GPU twice; {EXPECTED}");
    Ok(numbers)
}

impl Devices {
    /// The slots on this machine.
    ///
    /// # Errors
    /// A GPU that the machine does not have.
    pub fn slots(&self) -> anyhow::Result<Vec<NamedSlot>> {
        let gpus = visible_gpus();
        match self {
            Self::Cpu(n) => Ok(cpu_slots(*n)),
            Self::Auto if gpus.is_empty() => Ok(cpu_slots(n_cores())),
            Self::Auto => Ok(gpu_slots(&gpus)),
            Self::Cuda(wanted) => {
                let gpu = |&number: &u32| match gpus.get(number as usize) {
                    Some(gpu) => Ok(gpu.clone()),
                    None => bail!("no GPU {number}: this machine shows {}", gpus.len()),
                };
                Ok(gpu_slots(&wanted.iter().map(gpu).collect::<anyhow::Result<Vec<_>>>()?))
            }
        }
    }
}

fn cpu_slots(n: u32) -> Vec<NamedSlot> {
    let threads = (n_cores() / n).max(1);
    let device_name = cpu_name();
    let slot = |device| NamedSlot {
        slot: Slot { device: "cpu".to_owned(), visible_gpu: None, threads },
        device_name: device_name.clone(),
        lane: Lane { device, device_bytes: None },
        number: 0,
    };
    (0..n as usize).map(slot).collect()
}

/// The lanes of GPUs, the first of each before the second of any. A trainer sees its GPU alone, as its
/// first, and has the same threads however many are at work: numbers may depend on them.
fn gpu_slots(gpus: &[Gpu]) -> Vec<NamedSlot> {
    let n_lanes: u32 = gpus.iter().map(Gpu::n_lanes).sum();
    let threads = (n_cores() / n_lanes.max(1)).max(1);
    let slot = |number, (device, gpu): (usize, &Gpu)| NamedSlot {
        slot: Slot { device: "cuda:0".to_owned(), visible_gpu: Some(gpu.id.clone()), threads },
        device_name: gpu.name.clone(),
        lane: Lane { device, device_bytes: gpu.bytes },
        number,
    };
    let with = |number| {
        let gpus = gpus.iter().enumerate().filter(move |(_, gpu)| number < gpu.n_lanes());
        gpus.map(move |gpu| slot(number, gpu))
    };
    (0..MAX_LANES).flat_map(with).collect()
}

/// A GPU that a trainer may be given.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Gpu {
    /// As CUDA_VISIBLE_DEVICES has it.
    id: String,
    name: String,
    /// All its memory.
    bytes: Option<u64>,
    /// Whether it takes several processes at a time.
    is_shared: bool,
}

impl Gpu {
    const fn n_lanes(&self) -> u32 {
        if self.is_shared && self.bytes.is_some() { MAX_LANES } else { 1 }
    }
}

pub fn n_cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(u32::MAX)
}

pub fn cpu_name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// Names of the GPUs that CUDA_VISIBLE_DEVICES leaves visible; empty without a driver.
pub fn gpu_names() -> Vec<String> {
    visible_gpus().into_iter().map(|gpu| gpu.name).collect()
}

fn visible_gpus() -> Vec<Gpu> {
    let query = "--query-gpu=name,memory.total,compute_mode";
    let output = Command::new("nvidia-smi").args([query, "--format=csv,noheader,nounits"]).output();
    match output {
        Ok(output) if output.status.success() => {
            let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
            gpus(&String::from_utf8_lossy(&output.stdout), visible.as_deref())
        }
        // No driver, or one that does not answer: no GPU to train on.
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// The GPUs of a table of name, MiB and compute mode that a list of numbers and UUIDs leaves visible.
fn gpus(table: &str, visible: Option<&str>) -> Vec<Gpu> {
    let all: Vec<_> = table.lines().zip(0..).map(|(line, number)| gpu(line, number)).collect();
    let Some(visible) = visible else { return all };
    let named = |id: &str| {
        let known = id.parse().ok().and_then(|number: usize| all.get(number)).cloned();
        let (id, name) = (id.to_owned(), id.to_owned());
        known.unwrap_or(Gpu { id, name, bytes: None, is_shared: false })
    };
    visible.split(',').filter(|id| !id.is_empty() && *id != "-1").map(named).collect()
}

fn gpu(line: &str, number: u32) -> Gpu {
    let mut fields = line.split(',').map(str::trim);
    let name = fields.next().unwrap_or_default().to_owned();
    let mib: Option<u64> = fields.next().and_then(|mib| mib.parse().ok());
    let is_shared = fields.next() == Some("Default");
    Gpu { id: number.to_string(), name, bytes: mib.map(|mib| mib << 20), is_shared }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_and_nonsense_is_refused() {
        assert_eq!("auto".parse::<Devices>().unwrap(), Devices::Auto);
        assert_eq!("cpu:3".parse::<Devices>().unwrap(), Devices::Cpu(3));
        assert_eq!("cuda:0,2".parse::<Devices>().unwrap(), Devices::Cuda(vec![0, 2]));
        for nonsense in ["", "cpu", "cpu:0", "cpu:x", "cuda:", "cuda:a", "cuda:1,1", "tpu:1"] {
            assert!(nonsense.parse::<Devices>().is_err(), "{nonsense}");
        }
    }

    #[test]
    fn cores_are_divided_among_cpu_slots() {
        let slots = Devices::Cpu(1).slots().unwrap();
        assert_eq!(slots[0].slot.threads, n_cores());
        let slots = Devices::Cpu(n_cores() * 2).slots().unwrap();
        assert!(slots.iter().all(|slot| slot.slot.threads == 1));
    }

    const TABLE: &str = "NVIDIA H100 80GB HBM3, 81559, Default\n\
                         NVIDIA H100 80GB HBM3, 81559, Exclusive_Process\n\
                         NVIDIA GB10, [N/A], Default\n";

    #[test]
    fn gpus_have_lanes_where_their_memory_is_known_and_they_may_be_shared() {
        let all = gpus(TABLE, None);
        let slots = gpu_slots(&all);
        let names: Vec<_> = slots.iter().enumerate().map(|(n, slot)| slot.name(n)).collect();
        assert_eq!(names[..4], ["gpu 0.0", "gpu 1.0", "gpu 2.0", "gpu 0.1"]);
        assert_eq!((slots.len(), n_devices(&slots)), (10, 3));
        assert_eq!(slots[9].lane, Lane { device: 0, device_bytes: Some(81559 << 20) });
        assert!(slots.iter().all(|slot| slot.slot.threads == (n_cores() / 10).max(1)));
    }

    #[test]
    fn gpus_that_are_hidden_are_left_out_and_ids_are_kept() {
        let ids = |visible| gpus(TABLE, visible).into_iter().map(|gpu| gpu.id).collect::<Vec<_>>();
        assert_eq!(ids(None), ["0", "1", "2"]);
        assert_eq!(ids(Some("2,GPU-5ab")), ["2", "GPU-5ab"]);
        assert_eq!(ids(Some("")), [""; 0]);
        assert_eq!(gpus(TABLE, Some("2,0"))[1].bytes, Some(81559 << 20));
    }
}
