//! The slots that a sweep trains on, and what this machine is.

use std::process::Command;
use std::str::FromStr;

use anyhow::bail;
use scheduler::Slot;

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
}

impl NamedSlot {
    /// What the slot is called beside others: `cpu 0`, `gpu 1`.
    pub fn name(&self, index: usize) -> String {
        match &self.slot.visible_gpu {
            Some(gpu) => format!("gpu {gpu}"),
            None => format!("{} {index}", self.slot.device),
        }
    }
}

/// Far above any machine's cores.
const MAX_CPU_SLOTS: u32 = 1024;

impl FromStr for Devices {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let expected = "expected auto, cpu:N or cuda:0,1";
        match text.split_once(':') {
            Some(("cpu", n)) => match n.parse() {
                Ok(n @ 1..=MAX_CPU_SLOTS) => Ok(Self::Cpu(n)),
                _ => bail!("`{n}` is no number of CPU slots from 1 to {MAX_CPU_SLOTS}; {expected}"),
            },
            Some(("cuda", list)) => match list.split(',').map(str::parse).collect() {
                Ok(gpus) => Ok(Self::Cuda(gpus)),
                Err(_) => bail!("`{list}` is no list of GPU numbers; {expected}"),
            },
            _ => bail!("{expected}"),
        }
    }
}

impl Devices {
    /// The slots on this machine.
    ///
    /// # Errors
    /// A GPU that the machine does not have.
    pub fn slots(&self) -> anyhow::Result<Vec<NamedSlot>> {
        let gpus = gpu_names();
        match self {
            Self::Cpu(n) => Ok(cpu_slots(*n)),
            Self::Auto if gpus.is_empty() => Ok(cpu_slots(n_cores())),
            Self::Auto => Ok(gpus
                .iter()
                .zip(0..)
                .map(|(name, gpu)| gpu_slot(gpu, name, gpus.len()))
                .collect()),
            Self::Cuda(wanted) => wanted
                .iter()
                .map(|&gpu| match gpus.get(gpu as usize) {
                    Some(name) => Ok(gpu_slot(gpu, name, wanted.len())),
                    None => bail!("no GPU {gpu}: this machine shows {}", gpus.len()),
                })
                .collect(),
        }
    }
}

fn cpu_slots(n: u32) -> Vec<NamedSlot> {
    let threads = (n_cores() / n).max(1);
    let slot = Slot { device: "cpu".to_owned(), visible_gpu: None, threads };
    vec![NamedSlot { slot, device_name: cpu_name() }; n as usize]
}

/// The trainer sees this GPU alone, as its first.
fn gpu_slot(gpu: u32, name: &str, n_slots: usize) -> NamedSlot {
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok().filter(|list| !list.is_empty());
    let visible = visible.and_then(|list| list.split(',').nth(gpu as usize).map(str::to_owned));
    let threads = (n_cores() / u32::try_from(n_slots).unwrap_or(u32::MAX)).max(1);
    let slot = Slot {
        device: "cuda:0".to_owned(),
        visible_gpu: Some(visible.unwrap_or_else(|| gpu.to_string())),
        threads,
    };
    NamedSlot { slot, device_name: name.to_owned() }
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
    let all =
        Command::new("nvidia-smi").args(["--query-gpu=name", "--format=csv,noheader"]).output();
    let all = match all {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        // No driver, or one that does not answer: no GPU to train on.
        _ => return Vec::new(),
    };
    let all: Vec<_> = all.lines().map(|line| line.trim().to_owned()).collect();
    match std::env::var("CUDA_VISIBLE_DEVICES") {
        Ok(visible) => visible
            .split(',')
            .filter(|gpu| !gpu.is_empty() && *gpu != "-1")
            .map(|gpu| {
                gpu.parse()
                    .ok()
                    .and_then(|gpu: usize| all.get(gpu))
                    .cloned()
                    .unwrap_or_else(|| gpu.to_owned())
            })
            .collect(),
        Err(_) => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_and_nonsense_is_refused() {
        assert_eq!("auto".parse::<Devices>().unwrap(), Devices::Auto);
        assert_eq!("cpu:3".parse::<Devices>().unwrap(), Devices::Cpu(3));
        assert_eq!("cuda:0,2".parse::<Devices>().unwrap(), Devices::Cuda(vec![0, 2]));
        for nonsense in ["", "cpu", "cpu:0", "cpu:x", "cuda:", "cuda:a", "tpu:1"] {
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
}
