//! Where training runs, and the process-wide settings that come with it.

use std::fs;

use tch::{Cuda, Device};
use torch_ext::TorchError;

/// A device that is ready to train on.
#[derive(Clone, Debug)]
pub struct Setting {
    pub device: Device,
    /// `cpu` or `cuda:0`.
    pub label: String,
    /// What the maker calls it.
    pub name: String,
    pub threads: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("unknown device `{0}`; `cpu` or `cuda:N` is expected")]
    Unknown(String),
    #[error("`--threads` must be at least 1")]
    NoThreads,
    #[error("no CUDA here: {0}")]
    NoCuda(TorchError),
    #[error("device `{label}` is asked for where libtorch sees {found} CUDA devices")]
    NoSuchDevice { label: String, found: i64 },
    #[error(transparent)]
    Torch(#[from] TorchError),
}

/// Sets the process up for `label`, once, before any tensor exists: CUDA's libraries, threads,
/// denormals, deterministic kernels.
///
/// # Errors
/// A device that is not one, or not here.
pub fn prepare(label: &str, threads: u32) -> Result<Setting, DeviceError> {
    let device = parse(label).ok_or_else(|| DeviceError::Unknown(label.to_owned()))?;
    if threads == 0 {
        return Err(DeviceError::NoThreads);
    }
    if let Device::Cuda(index) = device {
        torch_ext::load_cuda().map_err(DeviceError::NoCuda)?;
        let found = Cuda::device_count();
        if usize::try_from(found).is_ok_and(|found| index >= found) {
            return Err(DeviceError::NoSuchDevice { label: label.to_owned(), found });
        }
    }
    torch_ext::keep_freed_memory();
    torch_ext::flush_denormals();
    torch_ext::use_deterministic_algorithms()?;
    tch::set_num_threads(i32::try_from(threads).unwrap_or(i32::MAX));
    tch::set_num_interop_threads(1);
    let name = match device {
        Device::Cuda(index) => torch_ext::cuda_device_name(index)?,
        _ => cpu_name(),
    };
    Ok(Setting { device, label: label.to_owned(), name, threads })
}

fn parse(label: &str) -> Option<Device> {
    match label.split_once(':') {
        None if label == "cpu" => Some(Device::Cpu),
        Some(("cuda", index)) => index.parse().ok().map(Device::Cuda),
        _ => None,
    }
}

fn cpu_name() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(": "));
    model.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned())
}

/// Memory that a data set could still take on a device; zero where that cannot be found out.
pub(crate) fn free_bytes(device: Device) -> f64 {
    match device {
        Device::Cuda(index) => torch_ext::cuda_free_bytes(index).unwrap_or(0) as f64,
        _ => available_kib().unwrap_or(0.0) * 1024.0,
    }
}

fn available_kib() -> Option<f64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemAvailable:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_read_as_the_command_line_spells_them() {
        assert_eq!(parse("cpu"), Some(Device::Cpu));
        assert_eq!(parse("cuda:3"), Some(Device::Cuda(3)));
        for bad in ["cuda", "gpu:0", "cpu:1", "cuda:x", ""] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn free_memory_of_this_machine_is_known() {
        assert!(free_bytes(Device::Cpu) > 1e6);
    }
}
